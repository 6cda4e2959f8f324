"""Doctor: what this machine's sandbox enforces, and which extras are installed."""

import importlib.metadata
import platform
import warnings

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from codedpo_plugin.sandbox.client import UNCONFINED, Sandbox
from codedpo_plugin.sandbox.self_check import tried

_LAYERS = {
    "session": "a session of its own, private files, no core dumps",
    "dies_first": "a machine out of memory ends it before anything else",
    "namespaces": "no network interfaces, nothing shared with other processes",
    "uid": "an ordinary user, so that process limits bind",
    "hidden": "its memory cannot be read by other processes of the user",
    "no_new_privs": "no setuid programs",
    "landlock": "no reading outside Python, no writing outside the scratch folder",
    "landlock_tcp": "no TCP",
    "landlock_scope": "no signals to processes outside",
    "seccomp": "no sockets, programs, mounts, tracing",
    "scratch": "nothing: an empty folder to write in",
    "readable": "nothing: installed packages can be imported",
    "cgroup": "no more memory and processes for a whole sandbox than for a solution",
}

_TRIED = {
    "filesystem": "reading, making and deleting files outside",
    "network": "reaching a port of this machine",
    "processes": "forking, threads, running programs",
    "signals": "a signal to the parent process",
    "memory": "more than its address space",
}

_MENDS = {
    "namespaces": "run as root, or allow unprivileged user namespaces",
    "uid": "run as an ordinary user",
    "landlock": "Linux 5.13 or later, with landlock among the LSMs",
    "landlock_tcp": "Linux 6.7 or later",
    "landlock_scope": "Linux 6.12 or later",
    "seccomp": "Linux on x86_64 or aarch64",
    "readable": "install Python where every user can read it",
    "cgroup": "none is needed; the other limits hold without it",
}

_EXTRAS = {
    "sample": ("openai", "datasketch"),
    "train": ("trl", "transformers", "accelerate", "datasets", "peft", "torch"),
    "deepspeed": ("deepspeed",),
    "dev": ("pytest", "ruff", "mypy"),
}


def doctor(console: Console) -> None:
    """Print what the sandbox has, what it was seen to refuse, and which extras are installed."""
    with warnings.catch_warnings(action="ignore"), Sandbox() as sandbox:
        layers, native, properties = sandbox.layers, sandbox.native, tried(sandbox)
    console.print(f"Python {platform.python_version()}, {platform.platform()}", markup=False)
    slower = "not: the same verdicts, slower; install again where there is a C compiler"
    console.print(f"C part of the sandbox: {'in use' if native else slower}", markup=False)
    if layers["seccomp"] != "on":
        console.print(f"WARNING: {UNCONFINED}", style="bold red", markup=False)
    console.print(_states("sandbox layer", "what it stops", layers, _LAYERS))
    console.print(_states("tried as a solution", "what was tried", properties, _TRIED))
    table = Table("extra", "package", "version", box=None, header_style="bold")
    for extra, packages in _EXTRAS.items():
        for package in packages:
            table.add_row(extra, package, _version(package, extra))
    console.print(table)


def _states(title: str, about: str, states: dict[str, str], known: dict[str, str]) -> Table:
    """A row for each layer or property: its state, what it is, and the mend where it is off."""
    table = Table(title, "state", about, box=None, header_style="bold")
    for name, state in states.items():
        style = "green" if state == "on" else "yellow" if name == "cgroup" else "bold red"
        mend = f"; mend: {_MENDS[name]}" if state != "on" and name in _MENDS else ""
        table.add_row(name, f"[{style}]{escape(state)}[/]", known[name] + mend)
    return table


def _version(package: str, extra: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return rf"[yellow]missing[/]: pip install -e '.\[{extra}]'"
