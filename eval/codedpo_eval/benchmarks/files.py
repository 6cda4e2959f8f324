"""Files of benchmarks: where they are kept, where they are downloaded from, how they are read."""

import gzip
import os
import urllib.request
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from codedpo_plugin.errors import InputError


@dataclass(frozen=True)
class KnownFile:
    """The file of a benchmark that is known by name."""

    kind: str
    """A key of `registry.KINDS`."""
    name: str
    """Its name in the cache; evalplus's own for evalplus's files."""
    url: str
    """Empty if it cannot be downloaded."""
    variable: str | None = None
    """Environment variable that names the file, as evalplus reads it."""


def find(known: KnownFile) -> Path:
    """The file: named by the environment, in evalplus's cache, in ours, or downloaded.

    Raises:
        InputError: it is in none of these places and cannot be downloaded.
    """
    if known.variable and (named := os.environ.get(known.variable)):
        return Path(named)
    for folder in _folders(known):
        for name in (known.name, f"{known.name}.gz"):
            if (folder / name).is_file():
                return folder / name
    return _downloaded(known)


def _folders(known: KnownFile) -> Iterator[Path]:
    if known.kind == "evalplus":
        yield _caches() / "evalplus"
    yield cache_folder() / "benchmarks"


def _downloaded(known: KnownFile) -> Path:
    if not known.url:
        raise InputError(f"{known.kind}: name its file with --data FILE")
    try:
        with urllib.request.urlopen(known.url, timeout=60) as answer:
            content = answer.read()
    except OSError as error:
        variable = f", or in {known.variable}" if known.variable else ""
        raise InputError(
            f"{known.url}: {error}; get it elsewhere and name it with --data FILE{variable}"
        ) from None
    path = cache_folder() / "benchmarks" / known.name.removesuffix(".gz")
    path.parent.mkdir(parents=True, exist_ok=True)
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    path.write_bytes(content)
    return path


def cache_folder() -> Path:
    """`~/.cache/codedpo`, or below `XDG_CACHE_HOME`."""
    return _caches() / "codedpo"


def _caches() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, decompressed if it is gzipped.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            gzipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            yield from gzip.open(file) if gzipped else file
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
