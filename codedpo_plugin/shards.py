"""Shards: parquet files that exist whole or not at all.

A shard carries, in its schema metadata, the key of what made it: a hash of its stage's settings
and of the keys of the shards it was made from. A shard whose key is the wanted one is finished;
any other is made again. So a changed recipe redoes just what it changes, and a killed run goes on
where it was.
"""

import errno
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from codedpo_plugin.errors import InfrastructureError

Row = dict[str, Any]

_KEY = b"codedpo_key"


def key_of(*parts: Any) -> str:
    """A hash of plain values (whatever JSON can hold), the same in every process."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def shard_path(run: Path, stage: str, index: int) -> Path:
    """Where shard `index` of a stage lies: `RUN/STAGE/00042.parquet`."""
    return run / stage / f"{index:05d}.parquet"


def shard_key(path: Path) -> str | None:
    """The key a shard was made with; None where there is no whole shard."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (FileNotFoundError, NotADirectoryError, pa.ArrowInvalid):
        return None
    return metadata.get(_KEY, b"").decode() or None


def write_shard(path: Path, rows: Iterable[Row], schema: pa.Schema, key: str) -> None:
    """Write rows under a temporary name and move them into place."""
    table = pa.Table.from_pylist(list(rows), schema=schema.with_metadata({_KEY: key.encode()}))
    with replacing(path) as file:
        pq.write_table(table, file, compression="zstd")


def read_shard(path: Path) -> list[Row]:
    """All rows of a shard.

    Raises:
        InfrastructureError: the file is missing or damaged.
    """
    try:
        rows: list[Row] = pq.read_table(path).to_pylist()
    except (OSError, pa.ArrowInvalid) as error:
        raise InfrastructureError(
            f"{path}: cannot be read ({error}); delete it and run the same command again"
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
        InfrastructureError: the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writing(path):
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
def writing(path: Path) -> Iterator[None]:
    """Says of any failure to write in the block which file or folder it was, and the mend."""
    try:
        yield
    except OSError as error:
        raise InfrastructureError(f"{path}: {_mend(error)}") from error


def remove_leftovers(run: Path) -> None:
    """Remove the temporary files of workers that were killed while writing."""
    for path in run.glob("*/.*.tmp"):
        path.unlink(missing_ok=True)


def _mend(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            "the disk is full; free some space and run the same command: finished shards are kept"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "cannot be written; mend the folder's permissions or choose another `output`"
    return f"cannot be written: {error}"
