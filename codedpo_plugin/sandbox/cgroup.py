"""A limit on the memory and the number of processes of a whole sandbox, where cgroup v2 allows it.

The limits of a worker process (`lockdown.lock_worker`) bind its address space; here, what the
kernel holds for it counts too: files in a scratch folder in memory, pipes, page tables. The
kernel's own count also distinguishes a sandbox that reached its limit from a machine that is out of
memory.

A cgroup is created beside or below that of this process: where the controllers are delegated
already, and where this user may write. Nothing that exists is moved or changed.
"""

import contextlib
import itertools
import os
import sys
import time
from pathlib import Path

MARGIN = 256 << 20  # bytes, in addition to a worker's: zygote, fork server, page tables, scratch
_PROCESSES = 256
_AGE = 60.0  # seconds: a younger cgroup may still get its first process
_count = itertools.count()


class Cgroup:
    """One for a zygote and its descendants; `state`: "on", or why there is none."""

    def __init__(self, memory_bytes: int) -> None:
        self.folder: Path | None = None
        try:
            parent = _parent()
            sweep(parent)
            self.folder = parent / f"codedpo-{os.getpid()}-{next(_count)}"
            self.folder.mkdir()
            self._write("memory.max", memory_bytes + MARGIN)
            self._write("pids.max", _PROCESSES)
            with contextlib.suppress(OSError):  # a kernel without swap
                self._write("memory.swap.max", 0)
            self.state = "on"
        except OSError as error:
            self.remove()
            self.state = f"off: {error}"

    def add(self, pid: int) -> None:
        """Put a process and its future descendants into the cgroup."""
        if not self.folder:
            return
        try:
            self._write("cgroup.procs", pid)
        except OSError as error:
            self.remove()
            self.state = f"off: {error}"

    def times_full(self) -> int:
        """How often the kernel killed a process because the memory limit was reached."""
        if not self.folder:
            return 0
        events = dict(line.split() for line in (self.folder / "memory.events").open())
        return int(events["oom"])

    def kill(self) -> None:
        """Kill all its processes, whatever session they are in."""
        if self.folder:
            with contextlib.suppress(OSError):  # before Linux 5.14
                self._write("cgroup.kill", 1)

    def remove(self) -> None:
        """Remove it as soon as its processes have ended."""
        folder, self.folder = self.folder, None
        for _ in range(100):
            if not folder or _removed(folder):
                return
            time.sleep(0.01)

    def _write(self, name: str, value: int) -> None:
        assert self.folder
        (self.folder / name).write_text(f"{value}\n")


def _parent() -> Path:
    """Where a cgroup with both limits can be created; raises OSError if there is no such place."""
    own = own_cgroup()
    for folder in (own, own.parent):
        with contextlib.suppress(OSError):
            delegated = (folder / "cgroup.subtree_control").read_text().split()
            if {"memory", "pids"} <= {*delegated} and os.access(folder, os.W_OK):
                return folder
    raise OSError("no cgroup v2 with memory and pids that this user may divide")


def own_cgroup() -> Path:
    """The folder of this process's cgroup.

    Raises:
        OSError: it has none.
    """
    if not sys.platform.startswith("linux"):
        raise OSError("needs Linux")
    with open("/proc/self/mountinfo") as file:
        mounts = [line.split() for line in file]
    with open("/proc/self/cgroup") as file:
        paths = [line.strip()[3:] for line in file if line.startswith("0::")]
    for mount in mounts:
        if paths and mount[mount.index("-") + 1] == "cgroup2":
            root, folder = mount[3], mount[4]
            return Path(folder, os.path.relpath(paths[0], root))
    raise OSError("no cgroup v2 is mounted")


def sweep(parent: Path) -> None:
    """Remove cgroups that killed builds have left: old ones without processes."""
    for folder in parent.glob("codedpo-*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > _AGE:
                folder.rmdir()


def _removed(folder: Path) -> bool:
    """Remove a cgroup, unless a process is in it; whether it is gone."""
    try:
        folder.rmdir()
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True
