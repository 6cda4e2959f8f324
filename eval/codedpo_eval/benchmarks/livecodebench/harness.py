"""Runs a solution of LiveCodeBench on one input, in the solution's own process.

The text of this file is put in front of a solution that is sent to the sandbox; it is a module too,
so that it can be checked like one. It contains no expected output, so nothing here is secret.
"""

import builtins
import contextlib
import hashlib
import io
import json
import os
import resource
import sys
import threading
import types
from collections.abc import Callable
from typing import Any

# The benchmark's own grader puts these imports in front of every solution.
_STARS = (
    "string re datetime collections heapq bisect copy math random statistics itertools functools "
    "operator io sys json builtins typing"
).split()
_HEADER = "".join(f"from {name} import *\n" for name in _STARS)
_HEADER += "".join(f"import {name}\n" for name in _STARS if name not in ("builtins", "typing"))

_LONGEST = 900_000  # characters of output that are sent; of longer output a hash is


def stdout_of(source: str, text: str) -> str | tuple[str, str]:
    """What a program prints, given `text` on stdin, when it is run as a script.

    Returns:
        The text; ("sha256", hash of its stripped lines) where it is too long to be sent.
    """
    try:
        written = _files(text)
    except OSError:  # without Landlock in the kernel, no file can be written here
        written = _streams(text)
    out = sys.stdout
    with contextlib.suppress(SystemExit):
        _run(source, "__main__")
    if not out.closed:
        out.flush()
    printed = written().decode("utf-8", "replace")
    if len(printed) <= _LONGEST:
        return printed
    return "sha256", hashlib.sha256("\n".join(stripped_lines(printed)).encode()).hexdigest()


def value_of(source: str, name: str, text: str) -> Any:
    """What a method of `Solution`, or a function, returns; arguments: one JSON value per line."""
    namespace = _run(source, "solution")
    owner = namespace["Solution"]() if "class Solution" in source else None
    method = getattr(owner, name) if owner is not None else namespace[name]
    value = method(*[json.loads(line) for line in text.split("\n")])
    return list(value) if isinstance(value, tuple) else value


def stripped_lines(text: str) -> list[str]:
    """Lines in the form in which they are compared."""
    return [line.strip() for line in text.strip().split("\n")]


def _files(text: str) -> Callable[[], bytes]:
    """Make stdin and stdout real files, so that `open(0)` works; returns a reader of stdout."""
    for name, number in (("stdin", 0), ("stdout", 1)):
        opened = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    data = text.encode()
    while data:
        data = data[os.write(0, data) :]
    os.lseek(0, 0, os.SEEK_SET)
    sys.stdin = open(0, encoding="utf-8", closefd=False)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)

    def written() -> bytes:
        os.lseek(1, 0, os.SEEK_SET)
        return b"".join(iter(lambda: os.read(1, 1 << 20), b""))

    return written


def _streams(text: str) -> Callable[[], bytes]:
    """The same in memory, for programs that only use `sys.stdin` and `sys.stdout`."""
    out = _Kept()
    sys.stdin = io.TextIOWrapper(io.BytesIO(text.encode()), "utf-8")
    sys.stdout = io.TextIOWrapper(out, "utf-8")
    return out.getvalue


class _Kept(io.BytesIO):
    """A buffer that can be read after a program has closed its stdout."""

    def close(self) -> None:
        pass


def _run(source: str, name: str) -> dict[str, Any]:
    """Run a program as a module of this name; returns its namespace."""
    module = types.ModuleType(name)
    sys.modules["__main__"] = module
    builtins.exit = builtins.quit = sys.exit  # type: ignore[assignment]  # normally added by `site`
    sys.setrecursionlimit(50_000)
    sys.set_int_max_str_digits(50_000)
    most = resource.getrlimit(resource.RLIMIT_STACK)[1]
    resource.setrlimit(resource.RLIMIT_STACK, (most, most))
    # Threads are not allowed here. Programs start one for its larger stack, and wait for it.
    threading.stack_size = lambda size=0: 0
    threading.Thread.start = threading.Thread.run  # type: ignore[method-assign]
    threading.Thread.join = lambda self, timeout=None: None  # type: ignore[method-assign]
    exec(_HEADER, module.__dict__)
    exec(compile(source, "<solution>", "exec", dont_inherit=True), module.__dict__)
    return module.__dict__
