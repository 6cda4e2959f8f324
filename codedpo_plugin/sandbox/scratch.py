"""The scratch folder of a sandbox; what killed builds have left is swept at the next start."""

import contextlib
import fcntl
import os
import subprocess
import tempfile
import time
from pathlib import Path

_PREFIX = "codedpo-scratch-"
_AGE = 60.0  # seconds: a younger folder may not be locked yet


class Scratch:
    """An empty folder. Its maker holds a lock on it as long as it lives, whatever ends it."""

    def __init__(self) -> None:
        sweep()
        self.path = tempfile.mkdtemp(prefix=_PREFIX)
        self._lock = _locked(self.path)

    def remove(self) -> None:
        """Delete it, with all that is in it."""
        _delete(self.path)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def sweep() -> None:
    """Delete the folders of dead makers: old enough, and locked by nobody. Others' are left alone:
    without the right to delete a folder nothing happens to it.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            old = time.time() - folder.lstat().st_mtime > _AGE
            if old and (lock := _locked(str(folder))) is not None:
                _delete(str(folder))
                os.close(lock)


def _locked(path: str) -> int | None:
    """A descriptor that holds the lock of a folder; None if somebody else does, or none can."""
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
    # Not shutil.rmtree: a leaf can nest folders deeper than Python can recurse.
    subprocess.run(["rm", "-rf", path], check=False, stderr=subprocess.DEVNULL)
