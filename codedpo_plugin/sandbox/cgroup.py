"""A limit on the memory and the number of processes of a whole sandbox, where cgroup v2 allows.

Limits of a leaf (`lockdown.lock_leaf`) bind its address space; what the kernel holds for it counts
here: files in a scratch folder in memory, pipes, page tables. And the kernel's own count tells a
sandbox that reached its limit from a machine that has no memory left.

A cgroup is made beside or below this process's own one: where controllers are handed down already,
and where this user may write. Nothing that exists is moved or changed.
"""

import contextlib
import itertools
import os
import sys
import time
from pathlib import Path

_MARGIN = 256 << 20  # bytes beyond a leaf's: zygote, row process, page tables, scratch in memory
_PROCESSES = 256
_AGE = 60.0  # seconds: a younger cgroup may get its first process yet
_count = itertools.count()


class Cgroup:
    """One for a zygote and all below it; `state`: "on", or why there is none."""

    def __init__(self, memory_bytes: int) -> None:
        self._folder: Path | None = None
        try:
            parent = _parent()
            _sweep(parent)
            self._folder = parent / f"codedpo-{os.getpid()}-{next(_count)}"
            self._folder.mkdir()
            self._write("memory.max", memory_bytes + _MARGIN)
            self._write("pids.max", _PROCESSES)
            with contextlib.suppress(OSError):  # a kernel without swap
                self._write("memory.swap.max", 0)
            self.state = "on"
        except OSError as error:
            self.remove()
            self.state = f"off: {error}"

    def add(self, pid: int) -> None:
        """Put a process, and all that it will fork, into the cgroup."""
        if not self._folder:
            return
        try:
            self._write("cgroup.procs", pid)
        except OSError as error:
            self.remove()
            self.state = f"off: {error}"

    def times_full(self) -> int:
        """How often the memory limit was reached for good: then the kernel killed a process."""
        if not self._folder:
            return 0
        events = dict(line.split() for line in (self._folder / "memory.events").open())
        return int(events["oom"])

    def kill(self) -> None:
        """Kill all in it, whatever session they are in."""
        if self._folder:
            with contextlib.suppress(OSError):  # before Linux 5.14
                self._write("cgroup.kill", 1)

    def remove(self) -> None:
        """Remove it, when its processes have ended."""
        folder, self._folder = self._folder, None
        for _ in range(100):
            if not folder or _removed(folder):
                return
            time.sleep(0.01)

    def _write(self, name: str, value: int) -> None:
        assert self._folder
        (self._folder / name).write_text(f"{value}\n")


def _parent() -> Path:
    """Where a cgroup with both limits can be made; raises OSError where there is no such place."""
    own = _own()
    for folder in (own, own.parent):
        with contextlib.suppress(OSError):
            handed_down = (folder / "cgroup.subtree_control").read_text().split()
            if {"memory", "pids"} <= {*handed_down} and os.access(folder, os.W_OK):
                return folder
    raise OSError("no cgroup v2 with memory and pids that this user may divide")


def _own() -> Path:
    """This process's cgroup, in the file system."""
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


def _sweep(parent: Path) -> None:
    """Remove what killed builds have left: no process is in it."""
    for folder in parent.glob("codedpo-*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > _AGE:
                folder.rmdir()


def _removed(folder: Path) -> bool:
    """Whether it is gone; not while a process is in it."""
    try:
        folder.rmdir()
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True
