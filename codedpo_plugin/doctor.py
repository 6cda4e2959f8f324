"""`codedpo doctor`: what this machine's sandbox enforces, and which extras are installed."""

import importlib.metadata
import platform
import warnings

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from codedpo_plugin.sandbox.client import UNCONFINED, Sandbox
from codedpo_plugin.sandbox.self_check import tried

_LAYERS = {
    "session": "a separate session, private files, no core dumps",
    "dies_first": "the system kills it first when memory runs out",
    "namespaces": "no network interfaces, no shared IPC",
    "uid": "an unprivileged user, so that process limits apply",
    "hidden": "its memory cannot be read by other processes of the user",
    "no_new_privs": "no setuid programs",
    "landlock": "no reading outside Python, no writing outside the scratch folder",
    "landlock_tcp": "no TCP",
    "landlock_scope": "no signals to processes outside",
    "seccomp": "no sockets, new programs, mounts, tracing",
    "scratch": "an empty folder to write in",
    "readable": "installed packages can be imported",
    "cgroup": "one solution's memory and process limits, for the whole sandbox",
}

_ATTEMPTS = {
    "filesystem": "reading, making and deleting files outside",
    "network": "reaching a port of this machine",
    "processes": "forking, threads, running programs",
    "signals": "a signal to the parent process",
    "memory": "more than its address space",
}

_FIXES = {
    "namespaces": "run as root, or allow unprivileged user namespaces",
    "uid": "run as an unprivileged user",
    "landlock": "Linux 5.13 or later, with landlock among the LSMs",
    "landlock_tcp": "Linux 6.7 or later",
    "landlock_scope": "Linux 6.12 or later",
    "seccomp": "Linux on x86_64 or aarch64",
    "readable": "install Python where all users can read it",
    "cgroup": "none needed, the other limits apply without it",
}

_EXTRAS = {
    "sample": ("openai", "datasketch"),
    "train": ("trl", "transformers", "accelerate", "datasets", "peft", "torch"),
    "deepspeed": ("deepspeed",),
    "evalplus": ("evalplus",),
    "dev": ("pytest", "ruff", "mypy"),
}


def doctor(console: Console) -> None:
    """Print the sandbox layers in use, what they were seen to prevent, and the installed extras."""
    with warnings.catch_warnings(action="ignore"), Sandbox() as sandbox:
        layers, native, properties = sandbox.layers, sandbox.native, tried(sandbox)
    console.print(f"Python {platform.python_version()}, {platform.platform()}", markup=False)
    slower = "missing: same verdicts, slower; reinstall where there is a C compiler"
    console.print(f"C part of the sandbox: {'in use' if native else slower}", markup=False)
    if layers["seccomp"] != "on":
        console.print(f"WARNING: {UNCONFINED}", style="bold red", markup=False)
    console.print(_states("sandbox layer", "effect", layers, _LAYERS))
    console.print(_states("tried as a solution", "what was tried", properties, _ATTEMPTS))
    table = Table("extra", "package", "version", box=None, header_style="bold")
    for extra, packages in _EXTRAS.items():
        for package in packages:
            table.add_row(extra, package, _version(package, extra))
    console.print(table)


def _states(title: str, about: str, states: dict[str, str], known: dict[str, str]) -> Table:
    """A row for each layer or property: its state, what it is, and the fix where it is off."""
    table = Table(title, "state", about, box=None, header_style="bold")
    for name, state in states.items():
        style = "green" if state == "on" else "yellow" if name == "cgroup" else "bold red"
        fix = f"; fix: {_FIXES[name]}" if state != "on" and name in _FIXES else ""
        table.add_row(name, f"[{style}]{escape(state)}[/]", known[name] + fix)
    return table


def _version(package: str, extra: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return rf"[yellow]missing[/]: pip install -e '.\[{extra}]'"
