"""Shards: parquet files that exist whole or not at all.

A shard carries, in its schema metadata, the key of what made it: a hash of its stage's settings
and of the keys of the shards it was made from. A shard whose key is the wanted one is finished;
any other is made again. So a changed recipe redoes just what it changes, and a killed run goes on
where it was.
"""

import errno
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from codedpo_plugin import storage
from codedpo_plugin.cores import machine_type
from codedpo_plugin.errors import InfrastructureError, StorageError

Row = dict[str, Any]

_KEY = b"codedpo_key"
_MACHINE = b"codedpo_machine"
_FOOTER = 64 << 10  # bytes at the end of a shard that mostly hold its footer


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
            footer = file.read()
            if int.from_bytes(footer[-8:-4], "little") + 8 > len(footer):
                file.seek(0)
                footer = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise StorageError(f"{path}: {mend(error)}") from error
    try:
        return pq.read_schema(io.BytesIO(footer)).metadata or {}
    except (OSError, pa.ArrowInvalid):  # damaged where it lies: it must not count as there
        with suppress(OSError):
            path.unlink()
        return {}


def write_shard(path: Path, rows: Iterable[Row], schema: pa.Schema, key: str) -> None:
    """Write rows under a temporary name and move them into place."""
    about = {_KEY: key.encode(), _MACHINE: machine_type().encode()}
    table = pa.Table.from_pylist(list(rows), schema=schema.with_metadata(about))
    with replacing(path) as file:
        pq.write_table(table, file, compression="zstd", write_page_checksum=True)


def read_shard(path: Path, columns: Sequence[str] | None = None) -> list[Row]:
    """All rows of a shard, or those of its columns that are among `columns`.

    Raises:
        InfrastructureError: the file is missing, or was damaged: then it has been removed.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path}: {mend(error)}") from error
    try:
        shard = pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True)
        names = shard.schema_arrow.names
        wanted = None if columns is None else [name for name in names if name in columns]
        rows: list[Row] = shard.read(wanted, use_threads=False).to_pylist()
    except (OSError, pa.ArrowInvalid) as error:
        with suppress(OSError):
            path.unlink()  # or it would count as finished, by its footer
        raise InfrastructureError(
            f"{path}: was damaged on the disk ({error}) and is removed; run `codedpo build` again "
            "to make it anew"
        ) from None
    return rows


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
    with writing(path), storage.replacing(path) as file:
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
    if storage.is_local(run):
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
