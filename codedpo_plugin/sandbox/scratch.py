"""Scratch folders of sandboxes; those that killed builds left are deleted at the next start."""

import contextlib
import fcntl
import os
import subprocess
import tempfile
import time
from pathlib import Path

PREFIX = "codedpo-scratch-"
_AGE = 60.0  # seconds: a younger folder may not be locked yet


class Scratch:
    """An empty folder; the process that made it holds a lock on it until that process ends."""

    def __init__(self) -> None:
        sweep()
        self.path = tempfile.mkdtemp(prefix=PREFIX)
        self._lock = _locked(self.path)

    def remove(self) -> None:
        """Delete it with its content."""
        _delete(self.path)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def sweep() -> None:
    """Delete the folders of processes that have ended: old enough, and not locked.

    Folders that this user has no right to delete stay.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            old = time.time() - folder.lstat().st_mtime > _AGE
            if old and (lock := _locked(str(folder))) is not None:
                _delete(str(folder))
                os.close(lock)


def _locked(path: str) -> int | None:
    """A descriptor that holds the lock of a folder; None if it cannot be locked, or is already."""
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(folder)
        return None
    return folder


def _delete(path: str) -> None:
    # Not shutil.rmtree: a worker can nest folders deeper than Python can recurse.
    subprocess.run(["rm", "-rf", path], check=False, stderr=subprocess.DEVNULL)
