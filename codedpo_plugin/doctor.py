"""Doctor: what this machine's sandbox enforces, and which extras are installed."""

import importlib.metadata
import platform

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from codedpo_plugin.sandbox.client import Sandbox

_LAYERS = {
    "session": "a session of its own, private files, no core dumps",
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
}

_MENDS = {
    "namespaces": "run as root, or allow unprivileged user namespaces",
    "uid": "run as an ordinary user",
    "landlock": "Linux 5.13 or later, with landlock among the LSMs",
    "landlock_tcp": "Linux 6.7 or later",
    "landlock_scope": "Linux 6.12 or later",
    "seccomp": "Linux on x86_64 or aarch64",
    "readable": "install Python where every user can read it",
}

_EXTRAS = {
    "sample": ("openai", "datasketch"),
    "train": ("trl", "transformers", "accelerate", "datasets", "peft", "torch"),
    "deepspeed": ("deepspeed",),
    "eval": ("scipy",),
    "dev": ("pytest", "ruff", "mypy"),
}


def doctor(console: Console) -> None:
    """Print two tables."""
    with Sandbox() as sandbox:
        layers, native = sandbox.layers, sandbox.native
    console.print(f"Python {platform.python_version()}, {platform.platform()}", markup=False)
    slower = "not: the same verdicts, slower; install again where there is a C compiler"
    console.print(f"C part of the sandbox: {'in use' if native else slower}", markup=False)
    table = Table("sandbox layer", "state", "what it stops", box=None, header_style="bold")
    for name, state in layers.items():
        style = "green" if state == "on" else "bold red"
        about = _LAYERS.get(name, "")
        if state != "on" and name in _MENDS:
            about = f"{about}; mend: {_MENDS[name]}"
        table.add_row(name, f"[{style}]{escape(state)}[/]", about)
    console.print(table)
    table = Table("extra", "package", "version", box=None, header_style="bold")
    for extra, packages in _EXTRAS.items():
        for package in packages:
            table.add_row(extra, package, _version(package, extra))
    console.print(table)


def _version(package: str, extra: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return rf"[yellow]missing[/]: pip install -e '.\[{extra}]'"
