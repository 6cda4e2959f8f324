"""This machine: its processor, its cores, exclusive use of one core, and which processes live."""

import contextlib
import fcntl
import functools
import math
import os
import platform
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

_RETRY = 0.2  # seconds between two attempts to lock a core, while all are taken
SILENT_SECONDS = 30.0  # of waiting for a core, before a warning says why


def usable_cores() -> int:
    """Logical cores that this process may use."""
    return len(_allowed()) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def physical_cores() -> int:
    """Physical cores that this process may use: the number of processes that may time at once."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    return len({_siblings(core) for core in _allowed()})


@functools.cache
def machine_type() -> str:
    """The processor's name and architecture, which decide how fast a program runs here."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("model name", "cpu model", "Hardware") and value.strip():
                return f"{value.strip()} ({platform.machine()})"
    return platform.machine() or "unknown"


@contextlib.contextmanager
def own_core() -> Iterator[int | None]:
    """Pin this process to a physical core (both hyperthreads) that no other `codedpo` process of
    this user is timing on. Yields the core, or None where the system cannot pin processes.

    Waits while all are taken. The lock is the kernel's: a killed process releases its core.
    """
    if not hasattr(os, "sched_getaffinity"):
        yield None
        return
    before = _allowed()
    with _locked(sorted(before)) as core:
        os.sched_setaffinity(0, {core})
        try:
            yield core
        finally:
            os.sched_setaffinity(0, before)


@contextlib.contextmanager
def _locked(cores: list[int]) -> Iterator[int]:
    """Lock the file of one of the cores, waiting until one is free."""
    place = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    folder = Path(place) / f"codedpo-cores-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    warn_at = time.monotonic() + SILENT_SECONDS
    while True:
        for core in cores:
            file = os.open(folder / _siblings(core), os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW)
            if _lock(file):
                try:
                    yield core
                finally:
                    os.close(file)
                return
            os.close(file)
        if time.monotonic() > warn_at:
            warn_at = math.inf
            warnings.warn(
                f"waiting: your other processes are timing solutions on all {len(cores)} cores of "
                f"this machine; `lslocks` lists them, their locks are in {folder}",
                stacklevel=2,
            )
        time.sleep(_RETRY)


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _allowed() -> set[int]:
    return os.sched_getaffinity(0)


@functools.cache
def _siblings(core: int) -> str:
    """The hyperthreads that share this one's physical core, such as `0-1` or `0,32`."""
    path = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
    try:
        return path.read_text().strip() or str(core)
    except OSError:
        return str(core)


def is_alive(pid: int) -> bool:
    """Whether a process of this machine exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
