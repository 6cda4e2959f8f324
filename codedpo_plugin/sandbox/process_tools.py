"""What both kinds of leaf need: descriptors, pipes, clocks, waiting."""

import os
import resource
import signal
import sys
import time

_LINUX = sys.platform.startswith("linux")


def keep_only(*descriptors: int) -> None:
    """Close every descriptor above stderr but these, so that a leaf cannot speak for others."""
    first = 3
    for descriptor in (*sorted(descriptors), 1 << 16):
        os.closerange(first, descriptor)
        first = descriptor + 1


def cpu_seconds(pid: int) -> float:
    """CPU time that a living process has used; 0 off Linux: other limits decide there."""
    if not _LINUX:
        return 0.0
    return time.clock_gettime((~pid << 3) | 2)  # CPUCLOCK_SCHED of its group


def wait(pid: int, seconds: float) -> tuple[int, int, resource.struct_rusage]:
    """Wait for a child for so long, as `os.wait4`; SIGCHLD is blocked."""
    if _LINUX:
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
    """Read from a trusted pipe; the row process ends with it."""
    parts = []
    while size:
        part = os.read(descriptor, min(size, 1 << 20))
        if not part:
            os._exit(3)
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
