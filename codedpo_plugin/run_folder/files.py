"""Files on a disk, or in an object store named by an address (`s3://`, `gs://`, `hf://`, any that
fsspec knows).

A local file is written under another name and renamed, so it exists whole or not at all. In an
object store a rename is a copy and a removal, which is not atomic, but an upload is: an object
appears when it is complete. So nothing is renamed there: a file is written locally and then
uploaded.
"""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

from codedpo_plugin.errors import InputError


def location(value: Any) -> Path:
    """A path, or for an address the `universal_pathlib` object that acts like one.

    Raises:
        InputError: the package that reads such addresses is not installed.
    """
    if _is_remote(value):
        return cast(Path, value)
    if not isinstance(value, str) or "://" not in value:
        return Path(value)
    try:
        import upath

        path: Path = upath.UPath(value)
        _ = path.fs  # type: ignore[attr-defined]
    except ImportError as error:
        scheme = value.partition(":")[0]
        raise InputError(
            f"{value}: {error}; pip install 'codedpo[remote]', and what fsspec needs for {scheme}: "
            "s3fs, gcsfs, huggingface_hub, ..."
        ) from None
    except ValueError as error:
        raise InputError(f"{value}: {error}") from None
    return path


def is_local(path: Path) -> bool:
    """Whether a path is on a disk."""
    return isinstance(path, Path)


def _is_remote(value: Any) -> bool:
    return hasattr(value, "fs") and hasattr(value, "protocol")


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that replaces `path` if the block succeeds, and is discarded otherwise.

    Raises:
        OSError: it cannot be written.
    """
    if not is_local(path):
        with tempfile.NamedTemporaryFile() as file:
            yield file
            file.flush()
            _upload(Path(file.name), path)
        return
    # Not the process id: two machines that share the folder may have the same one.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(folder: Path, temporary: Path) -> Iterator[Path]:
    """A local folder to fill; if the block succeeds, it replaces `folder`.

    On a disk that is one rename, with `temporary` beside `folder`. In an object store the files are
    uploaded one after another, `README.md` last, and then files that no longer belong are removed.
    """
    if is_local(folder):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            yield temporary
            _replace_folder(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        yield here
        files = [path.relative_to(here) for path in here.rglob("*") if path.is_file()]
        for file in sorted(files, key=lambda file: (file.name == "README.md", file)):
            _upload(here / file, folder.joinpath(*file.parts))
        kept = {str(folder.joinpath(*file.parts)) for file in files}
        for path in list(folder.rglob("*")):
            if path.is_file() and str(path) not in kept:
                path.unlink()


def _upload(file: Path, target: Path) -> None:
    """Upload a local file, atomically."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.fs.put_file(str(file), target.path)  # type: ignore[attr-defined]


def _replace_folder(new: Path, folder: Path) -> None:
    """Replace a folder by another one, while other processes may do the same."""
    for retries in range(9, -1, -1):
        shutil.rmtree(folder, ignore_errors=True)
        try:
            new.rename(folder)
        except OSError:
            if not retries or not folder.exists():
                raise
        else:
            return


def storable(text: str) -> str:
    """Text that UTF-8 can encode: lone surrogates (legal in JSON) become question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")
