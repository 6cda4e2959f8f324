"""An fsspec file system that behaves like an object store, on a local folder: an object appears when
its upload is complete; a rename is a copy, half of which is visible for a while, and a removal. All
renames are recorded.
"""

import os
import shutil
import time
from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem
from upath import UPath

RENAMES = "renames.txt"  # beside the objects


class NonAtomic(LocalFileSystem):
    """`nonatomic://FOLDER/...`; its root is the working directory."""

    protocol = "nonatomic"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(path).removeprefix("nonatomic://").strip("/")

    def unstrip_protocol(self, name: str) -> str:
        return f"nonatomic://{self._strip_protocol(name)}"

    def put_file(self, lpath: str, rpath: str, callback: Any = None, **_: Any) -> None:
        """An upload: visible when it is complete."""
        target = Path(self._strip_protocol(rpath))
        hidden = target.with_name(f"upload-{os.getpid()}-{time.monotonic_ns()}")
        shutil.copyfile(lpath, hidden)
        os.replace(hidden, target)

    def mv(self, path1: str, path2: str, **_: Any) -> None:
        """A rename: half of the copy is visible before the rest."""
        source, target = map(self._strip_protocol, (path1, path2))
        with open(Path(target).with_name(RENAMES), "a") as file:
            file.write(f"{source} {target}\n")
        data = Path(source).read_bytes()
        Path(target).write_bytes(data[: len(data) // 2])
        time.sleep(0.2)
        Path(target).write_bytes(data)
        os.unlink(source)

    mv_file = rename = move = mv


class NonAtomicPath(UPath):
    """A path there; a class of its own, so that paths can be pickled."""
