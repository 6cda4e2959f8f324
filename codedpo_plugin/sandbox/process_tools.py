"""Processes and system calls: fork, wait, descriptors, clocks, and libc functions Python lacks.

Used inside the sandbox, so it needs the standard library only.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import time

TYPE_CHECKING = False  # type checkers read it as true; importing typing would take milliseconds
if TYPE_CHECKING:
    from typing import Any

LINUX = sys.platform.startswith("linux")
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_KEEPCAPS = 1, 4, 8
PR_SET_NAME, PR_GET_NAME, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 15, 16, 22, 38
ZERO = ctypes.c_long(0)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
# PyDLL keeps the interpreter's lock, which a child could not take back.
_fork = ctypes.PyDLL(None, use_errno=True).fork
# Every worker process calls this. It has no errno handling and takes arguments that exist already,
# because each memory page that a worker touches for the first time costs a page fault.
prctl: Any = getattr(ctypes.PyDLL(None), "prctl", None)


def call(name: str, *arguments: object) -> int:
    """Call a libc function, passing integers as C longs.

    Raises:
        OSError: it returned -1.
    """
    longs = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result: int = getattr(_libc, name)(*longs)
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result


def fork() -> int:
    """Fork a process that has one thread, without Python's hooks (Linux).

    The hooks would reseed `random` in every child: that costs time and makes the children differ.
    """
    if not LINUX:
        return os.fork()
    pid: int = _fork()
    if pid < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return pid


def keep_only(*descriptors: int) -> None:
    """Close all descriptors above stderr except these, so a worker cannot reply for others."""
    first = 3
    for descriptor in (*sorted(descriptors), 1 << 16):
        os.closerange(first, descriptor)
        first = descriptor + 1


def cpu_seconds(pid: int) -> float:
    """CPU time that a living process has used; 0 off Linux, where only the rlimits apply."""
    if not LINUX:
        return 0.0
    return time.clock_gettime((~pid << 3) | 2)  # CPUCLOCK_SCHED of the whole process


def wait(pid: int, seconds: float) -> tuple[int, int, resource.struct_rusage]:
    """Wait up to `seconds` for a child, with the result of `os.wait4`; SIGCHLD must be blocked."""
    if LINUX:
        signal.sigtimedwait([signal.SIGCHLD], seconds)
        return os.wait4(pid, os.WNOHANG)
    pause, end = 0.0005, time.monotonic() + seconds
    while True:
        waited = os.wait4(pid, os.WNOHANG)
        if waited[0] or time.monotonic() > end:
            return waited
        time.sleep(pause)
        pause = min(2 * pause, 0.01)


def read_exactly(descriptor: int, size: int) -> bytes:
    """Read `size` bytes from the trusted pipe; exit when the pipe has been closed."""
    parts = []
    while size:
        part = os.read(descriptor, min(size, 1 << 20))
        if not part:
            os._exit(3)
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
