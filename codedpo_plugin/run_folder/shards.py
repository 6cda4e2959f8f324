"""Shards: parquet files that exist whole or not at all.

A shard carries, in its schema metadata, the key of what made it: a hash of its stage's settings
and of the keys of the shards it was made from. A shard whose key is the wanted one is finished;
any other is made again. So a changed recipe redoes just what it changes, and a killed run goes on
where it was.

Parquet's own checksums are of pages only: a bit flipped in the footer may give other rows, or
another key, and nothing tells. So a shard has a seal between pages and footer, where no reader of
parquet looks: two CRC-32, of the pages, and of all that follows them. The second tells of a footer
read alone whether it is whole.
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
_FOOTER = 64 << 10  # bytes at the end of a shard that mostly hold its seal and footer
_SEAL = 8  # bytes: two checksums
_END = 8  # bytes that end a parquet file: the length of its footer, and b"PAR1"


def key_of(*parts: Any) -> str:
    """A hash of plain values (whatever JSON can hold), the same in every process."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def shard_path(run: Path, stage: str, index: int) -> Path:
    """Where shard `index` of a stage lies: `RUN/STAGE/00042.parquet`."""
    return run / stage / f"{index:05d}.parquet"


def shard_key(path: Path) -> str | None:
    """The key a shard was made with; None where there is no whole shard."""
    return _metadata(path).get(_KEY, b"").decode() or None


def shard_machine(path: Path) -> str:
    """The type of machine that a shard was made on."""
    return _metadata(path).get(_MACHINE, b"").decode() or "unknown"


def _metadata(path: Path) -> dict[bytes, bytes]:
    """What is written in the footer of a whole shard; nothing where there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _FOOTER))
            tail = file.read()
            if _pages(tail) < 0 < size - len(tail):
                file.seek(0)
                tail = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise StorageError(f"{path}: {mend(error)}") from error
    if not _footer_is_whole(tail):  # damaged where it lies: it must not count as there
        with suppress(OSError):
            path.unlink()
        return {}
    return pq.read_schema(io.BytesIO(tail)).metadata or {}


def write_shard(path: Path, rows: Iterable[Row], schema: pa.Schema, key: str) -> None:
    """Write rows under a temporary name and move them into place."""
    about = {_KEY: key.encode(), _MACHINE: machine_type().encode()}
    table = pa.Table.from_pylist(list(rows), schema=schema.with_metadata(about))
    plain = io.BytesIO()
    pq.write_table(table, plain, compression="zstd")
    with replacing(path) as file:
        file.writelines(_sealed(plain.getbuffer()))


def read_shard(path: Path, columns: Sequence[str] | None = None) -> list[Row]:
    """All rows of a shard, or those of its columns that are among `columns`.

    Raises:
        DamageError: the file is not as it was written; it has been removed.
        StorageError: it cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path}: {mend(error)}") from error
    if not _is_whole(data):
        with suppress(OSError):
            path.unlink()  # or it would count as finished, by its footer
        raise DamageError(
            f"{path}: was damaged on the disk (its checksum differs) and is removed; run "
            "`codedpo build` again to make it anew"
        )
    shard = pq.ParquetFile(io.BytesIO(data))
    names = shard.schema_arrow.names
    wanted = None if columns is None else [name for name in names if name in columns]
    rows: list[Row] = shard.read(wanted, use_threads=False).to_pylist()
    return rows


def _sealed(plain: memoryview) -> list[bytes | memoryview]:
    """A parquet file in pieces, with the seal before its footer. Offsets in the footer still hold:
    they point at pages, and those stay where they are.
    """
    start = _footer_start(plain)
    pages, rest = plain[:start], plain[start:]
    first = _checksum(pages)
    return [pages, first, _checksum(first, rest), rest]


def _is_whole(data: bytes) -> bool:
    """Whether a shard is as it was written."""
    pages = _pages(data)
    return _footer_is_whole(data) and _checksum(memoryview(data)[:pages]) == data[pages : pages + 4]


def _footer_is_whole(tail: bytes) -> bool:
    """Whether the seal in the last bytes of a shard is that of its footer."""
    pages = _pages(tail)
    end = tail[max(0, pages) :]
    return pages >= 0 and _checksum(end[:4], end[_SEAL:]) == end[4:_SEAL]


def _pages(tail: bytes) -> int:
    """How many of the last bytes of a shard are of its pages; negative if the seal is not there."""
    return _footer_start(tail) - _SEAL


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
    """A binary file that takes the place of `path` when the block ends well, and never otherwise.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    with writing(path), files.replacing(path) as file:
        yield file


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Says of any failure to write in the block which file or folder it was, and the mend."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path}: {mend(error)}") from error


def remove_leftovers(run: Path) -> None:
    """Remove the temporary files of workers that were killed while writing."""
    if files.is_local(run):
        for path in [*run.glob(".*.tmp"), *run.glob("*/.*.tmp")]:
            path.unlink(missing_ok=True)


def mend(error: OSError) -> str:
    """What is wrong with a file, and what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            "the disk is full; free some space and run the same command: finished shards are kept"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "cannot be written; mend the folder's permissions or choose another `output`"
    return (
        f"{error}; see that the disk and its mount are well, and run the same command: finished "
        "shards are kept"
    )
