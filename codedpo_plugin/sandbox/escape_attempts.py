"""Attempts to do what the sandbox must prevent; `self_check` runs this file as a solution.

It is sent as program text, so it must not import from this package.
"""

import _thread
import errno
import os
import resource
from collections.abc import Callable


def try_all(canary: str) -> dict[str, str]:
    """Make every attempt; its name -> "enforced" (it failed) or "open".

    `canary` is the path of a world-readable file in a temporary folder where everybody may create
    and delete files, outside everything that the sandbox makes readable.
    """
    memory = max(0, resource.getrlimit(resource.RLIMIT_AS)[0])  # -1: no limit
    attempts: dict[str, Callable[[], object]] = {
        "read_outside": lambda: os.close(os.open(canary, os.O_RDONLY)),
        "write_outside": lambda: os.close(os.open(canary + ".new", os.O_WRONLY | os.O_CREAT)),
        "delete_outside": lambda: os.unlink(canary),
        "signal_parent": lambda: os.kill(os.getppid(), 0),
        "network": _connect,
        "exec": _exec,
        "memory": lambda: bytearray(memory),
        "fork": _fork,
        "thread": lambda: _thread.start_new_thread(int, ()),
    }
    return {name: "open" if _succeeds(one) else "enforced" for name, one in attempts.items()}


def _succeeds(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except Exception:
        return False
    return True


def _fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _connect() -> None:
    """Connect to a port of this machine; a refusal by the port means that it was reached."""
    import _socket

    code = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM).connect_ex(("127.0.0.1", 9))
    if code not in (0, errno.ECONNREFUSED):
        raise OSError(code, os.strerror(code))


def _exec() -> None:
    """Run a program, with an argument so long that it fails only after all permission checks."""
    try:
        os.execv("/bin/true", ["true", "x" * 200_000])
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES):
            raise
