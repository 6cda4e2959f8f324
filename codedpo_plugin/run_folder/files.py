"""Where files lie: on a disk, or in an object store that is named by an address (`s3://`, `gs://`,
`hf://`, any that fsspec knows).

A local file is written under another name and renamed: it is there whole or not at all. An object
store's rename is a copy and a removal, and not of a piece; but an object appears when it has come
whole. So there nothing is ever renamed: a file is made here and then sent.
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
    """A path, or, for an address, the object of `universal_pathlib` that acts like one.

    Raises:
        InputError: what reads such addresses is not installed.
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
    """A binary file that takes the place of `path` when the block ends well, and never otherwise.

    Raises:
        OSError: it cannot be written.
    """
    if not is_local(path):
        with tempfile.NamedTemporaryFile() as file:
            yield file
            file.flush()
            _send(Path(file.name), path)
        return
    # Not the process id: two machines that share the folder may have the same.
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
    """A local folder to fill; when the block ends well, what is in it is what is in `folder`.

    On a disk that happens at once, where `temporary` is beside it. In an object store files are
    sent one after another, `README.md` last, and then those that are no more are removed.
    """
    if is_local(folder):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            yield temporary
            _move_over(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        yield here
        files = [path.relative_to(here) for path in here.rglob("*") if path.is_file()]
        for file in sorted(files, key=lambda file: (file.name == "README.md", file)):
            _send(here / file, folder.joinpath(*file.parts))
        kept = {str(folder.joinpath(*file.parts)) for file in files}
        for path in list(folder.rglob("*")):
            if path.is_file() and str(path) not in kept:
                path.unlink()


def _send(file: Path, target: Path) -> None:
    """Put a local file into an object store, of a piece."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.fs.put_file(str(file), target.path)  # type: ignore[attr-defined]


def _move_over(new: Path, folder: Path) -> None:
    """Put a folder in the place of another one, which others may do at the same time."""
    for left in range(9, -1, -1):
        shutil.rmtree(folder, ignore_errors=True)
        try:
            new.rename(folder)
        except OSError:
            if not left or not folder.exists():
                raise
        else:
            return


def storable(text: str) -> str:
    """Text as UTF-8 can hold it: lone surrogates (legal in JSON) become question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")
