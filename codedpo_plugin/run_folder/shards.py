"""Shards: parquet files that exist whole or not at all.

A shard carries, in its schema metadata, the key of what made it: a hash of its stage's settings and
of the keys of the shards it was made from. A shard with the expected key is finished; any other is
made again. So a changed recipe redoes only what depends on the change, and a killed run continues
where it was.

Parquet's own checksums cover pages only: a bit flipped in the footer may silently give other rows
or another key. So a shard has two CRC-32 checksums between pages and footer, where no reader of
parquet looks: of the pages, and of everything after them. The second one verifies a footer that is
read alone.
"""

import errno
import hashlib
import io
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from codedpo_plugin.errors import DamageError, StorageError
from codedpo_plugin.machine import machine_type
from codedpo_plugin.run_folder import files
from codedpo_plugin.stages import Stage

Row = dict[str, Any]

_KEY = b"codedpo_key"
_MACHINE = b"codedpo_machine"
_TAIL = 64 << 10  # bytes at the end of a shard that usually hold its checksums and footer
_CHECKSUMS = 8  # bytes: two CRC-32
_END = 8  # bytes that end a parquet file: the length of its footer, and b"PAR1"


def key_of(*parts: Any) -> str:
    """A hash of plain values (whatever JSON can hold), the same in every process."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def shard_path(run: Path, stage: str, index: int) -> Path:
    """Path of shard `index` of a stage: `RUN/FOLDER/00042.parquet`."""
    return run / stage / f"{index:05d}.parquet"


def shard_key(path: Path) -> str | None:
    """The key a shard was made with; None if there is no intact shard."""
    return _metadata(path).get(_KEY, b"").decode() or None


def shard_machine(path: Path) -> str:
    """The type of machine that made a shard."""
    return _metadata(path).get(_MACHINE, b"").decode() or "unknown"


def _metadata(path: Path) -> dict[bytes, bytes]:
    """The schema metadata in the footer of an intact shard; empty if there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL))
            tail = file.read()
            if _pages(tail) < 0 < size - len(tail):
                file.seek(0)
                tail = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise StorageError(f"{path}: {_with_fix(error)}") from error
    if not _footer_is_whole(tail):  # damaged on disk: it must not count as finished
        with suppress(OSError):
            path.unlink()
        return {}
    return pq.read_schema(io.BytesIO(tail)).metadata or {}


def write_shard(path: Path, rows: Iterable[Row], schema: pa.Schema, key: str) -> None:
    """Write rows as one shard, atomically."""
    about = {_KEY: key.encode(), _MACHINE: machine_type().encode()}
    table = pa.Table.from_pylist(list(rows), schema=schema.with_metadata(about))
    plain = io.BytesIO()
    pq.write_table(table, plain, compression="zstd")
    with replacing(path) as file:
        file.writelines(_with_checksums(plain.getbuffer()))


def read_shard(path: Path, columns: Sequence[str] | None = None) -> list[Row]:
    """All rows of a shard, with all its columns or those among `columns`.

    Raises:
        DamageError: the file has changed since it was written; it has been removed.
        StorageError: it cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path}: {_with_fix(error)}") from error
    if not _is_whole(data):
        with suppress(OSError):
            path.unlink()  # its intact footer would make it count as finished
        raise DamageError(
            f"{path}: was damaged on disk (its checksum differs) and has been removed; run "
            "`codedpo build` again to remake it"
        )
    shard = pq.ParquetFile(io.BytesIO(data))
    names = shard.schema_arrow.names
    wanted = None if columns is None else [name for name in names if name in columns]
    rows: list[Row] = shard.read(wanted, use_threads=False).to_pylist()
    return rows


def _with_checksums(plain: memoryview) -> list[bytes | memoryview]:
    """A parquet file in pieces, with the checksums before its footer. Offsets in the footer stay
    valid: they point at pages, and those do not move.
    """
    start = _footer_start(plain)
    pages, rest = plain[:start], plain[start:]
    first = _checksum(pages)
    return [pages, first, _checksum(first, rest), rest]


def _is_whole(data: bytes) -> bool:
    """Whether a shard is unchanged since it was written."""
    pages = _pages(data)
    return _footer_is_whole(data) and _checksum(memoryview(data)[:pages]) == data[pages : pages + 4]


def _footer_is_whole(tail: bytes) -> bool:
    """Whether the second checksum, in the last bytes of a shard, is that of its footer."""
    pages = _pages(tail)
    end = tail[max(0, pages) :]
    return pages >= 0 and _checksum(end[:4], end[_CHECKSUMS:]) == end[4:_CHECKSUMS]


def _pages(tail: bytes) -> int:
    """How many of these last bytes of a shard are pages; negative if the checksums are missing."""
    return _footer_start(tail) - _CHECKSUMS


def _footer_start(tail: bytes | memoryview) -> int:
    return len(tail) - _END - int.from_bytes(tail[-_END:][:4], "little")


def _checksum(*parts: bytes | memoryview) -> bytes:
    value = 0
    for part in parts:
        value = zlib.crc32(part, value)
    return value.to_bytes(4, "little")


def read_merged(
    run: Path, stages: Iterable[Stage], index: int, columns: Sequence[str] | None = None
) -> Iterator[Row]:
    """Rows of one shard with the columns of several stages, or those of them that are named."""
    shards = [read_shard(shard_path(run, stage.folder, index), columns) for stage in stages]
    for parts in zip(*shards, strict=True):
        merged: Row = {}
        for part in parts:
            merged |= part
        yield merged


def read_rows(run: Path, stage: str) -> Iterator[Row]:
    """All rows of a stage, shard after shard, in order."""
    for path in sorted((run / stage).glob("*.parquet")):
        yield from read_shard(path)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """As `files.replacing`, with errors that say what to do.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    with writing(path), files.replacing(path) as file:
        yield file


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns a failure to write into an error that names the file or folder, and the fix."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path}: {_with_fix(error)}") from error


def remove_leftovers(run: Path) -> None:
    """Remove the temporary files of workers that were killed while writing; an export removes its
    own folders.
    """
    if files.is_local(run):
        for path in [*run.glob(".*.tmp"), *run.glob("*/.*.tmp")]:
            if not path.is_dir():
                path.unlink(missing_ok=True)


def _with_fix(error: OSError) -> str:
    """What is wrong with a file, and how to fix it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            "the disk is full; free some space and run the same command: finished shards are kept"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "cannot be written; fix the folder's permissions or choose another `output`"
    return (
        f"{error}; check the disk and its mount, and run the same command: finished shards are kept"
    )
