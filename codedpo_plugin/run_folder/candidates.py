"""Candidates: the sampler's output is read, checked and cut into shards.

One row per problem, JSONL (also .gz) or parquet:

| column | type | meaning |
|---|---|---|
| `task_id` | str | unique |
| `prompt` | str | the exercise, as the trained model will see it |
| `entry_point` | str or null | the function that the tests call |
| `solutions` | list[str] | N complete Python programs |
| `tests` | list[str] | M snippets, each run after a solution; an exception means failure |
| `responses` | list[str], optional | the model's response that each solution was taken from |

Other columns are kept as JSON in `extra`, and not used.
"""

import gzip
import hashlib
import itertools
import json
import zlib
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from codedpo_plugin.errors import InputError
from codedpo_plugin.run_folder.files import storable
from codedpo_plugin.run_folder.progress import Progress, State
from codedpo_plugin.run_folder.shards import (
    Row,
    key_of,
    replacing,
    shard_key,
    shard_path,
    write_shard,
)
from codedpo_plugin.stages import CANDIDATES

if TYPE_CHECKING:
    from codedpo_plugin.recipe import Recipe

SCHEMA = pa.schema(
    [
        ("task_id", pa.string()),
        ("prompt", pa.string()),
        ("entry_point", pa.string()),
        ("solutions", pa.list_(pa.string())),
        ("tests", pa.list_(pa.string())),
        ("responses", pa.list_(pa.string())),
        ("extra", pa.string()),
    ]
)


def ingest(recipe: "Recipe", console: Console | None = None) -> dict[str, Any]:
    """Stream the candidate files into `RUN/candidates/`, and return the manifest.

    The manifest (also `manifest.json` there) holds `shards` and `problems` (counts), `tests_cut`
    and `skipped` (reason -> problems without solutions or tests; `skipped.jsonl` there has their
    task_id, place and reason). Nothing is read again if the files have the path, size and time in
    the manifest and all shards exist.

    Raises:
        InputError: a file or row is wrong; names the file, the line and the fix.
    """
    folder = recipe.output / CANDIDATES.folder
    made_from = _made_from(recipe)
    manifest = read_manifest(recipe.output)
    if manifest and manifest["made_from"] == made_from and _all_exist(folder, manifest):
        return manifest
    manifest = {"made_from": made_from, "shards": 0, "problems": 0, "tests_cut": 0, "skipped": {}}
    with (
        State(recipe.output, CANDIDATES.name, (1, 1)) as state,
        Progress(console or Console(quiet=True), CANDIDATES.name, 0, None) as progress,
        replacing(folder / "skipped.jsonl") as skipped,
    ):
        rows = _checked_rows(recipe, manifest, skipped)
        while shard := list(itertools.islice(rows, recipe.shard_size)):
            _write(recipe, manifest, shard)
            state.update(now=False, **{name: manifest[name] for name in ("shards", "problems")})
            progress.update(manifest["problems"])
        if not manifest["problems"]:
            names = ", ".join(map(str, recipe.candidate_files))
            raise InputError(f"{names}: no problem here has both solutions and tests")
    _remove_stale(recipe.output, manifest["shards"])
    write_manifest(recipe.output, manifest)
    return manifest


def _all_exist(folder: Path, manifest: dict[str, Any]) -> bool:
    """Whether all shards still exist: a damaged one is removed when it is found."""
    found = sum(path.stem.isdigit() for path in folder.glob("*.parquet"))
    return found == int(manifest["shards"])


def _remove_stale(run: Path, shards: int) -> None:
    """Remove the shards that an earlier, longer list of candidates left in any stage."""
    for path in run.glob("*/*.parquet"):
        if path.stem.isdigit() and int(path.stem) >= shards:
            path.unlink(missing_ok=True)


def read_manifest(run: Path) -> dict[str, Any] | None:
    """The manifest of a run's candidates; None before all have been read, and if it is damaged: a
    flipped digit in a count would lose shards.
    """
    try:
        manifest: dict[str, Any] = json.loads(
            (run / CANDIDATES.folder / "manifest.json").read_bytes()
        )
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return manifest if manifest.pop("checksum", None) == key_of(manifest) else None


def write_manifest(run: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest of a run's candidates, atomically."""
    with replacing(_manifest_path(run)) as file:
        text = json.dumps(manifest | {"checksum": key_of(manifest)}, indent=1)
        file.write(text.encode())


def _manifest_path(run: Path) -> Path:
    return run / CANDIDATES.folder / "manifest.json"


def _made_from(recipe: "Recipe") -> list[Any]:
    files = []
    for path in recipe.candidate_files:
        try:
            status = path.stat()
        except OSError as error:
            fix = (
                "run `codedpo generate`, or `codedpo build`, first"
                if recipe.generates
                else "`candidates` names it"
            )
            raise InputError(f"{path}: {error.strerror}; {fix}") from None
        files.append([str(path), status.st_size, status.st_mtime])
    return [files, recipe.shard_size, recipe.execute.max_tests, CANDIDATES.version]


def _write(recipe: "Recipe", manifest: dict[str, Any], rows: list[Row]) -> None:
    """Write the next shard, unless it already exists."""
    path = shard_path(recipe.output, CANDIDATES.folder, manifest["shards"])
    key = key_of(rows)
    if shard_key(path) != key:
        write_shard(path, rows, SCHEMA, key)
    manifest["shards"] += 1
    manifest["problems"] += len(rows)


def _checked_rows(recipe: "Recipe", manifest: dict[str, Any], skipped: IO[bytes]) -> Iterator[Row]:
    """Rows in the columns of `SCHEMA`; skipped problems and cut tests are counted in the
    manifest."""
    seen = array("Q")
    for place, row in _all_rows(recipe):
        seen.append(_digest(row["task_id"]))
        empty = next((column for column in ("solutions", "tests") if not row[column]), None)
        if empty:
            reason = f"no {empty}"
            skip = {"task_id": row["task_id"], "place": place, "reason": reason}
            skipped.write(json.dumps(skip).encode() + b"\n")
            manifest["skipped"][reason] = manifest["skipped"].get(reason, 0) + 1
        else:
            cut = row["tests"][recipe.execute.max_tests :]
            manifest["tests_cut"] += len(cut)
            row["tests"] = row["tests"][: recipe.execute.max_tests]
            yield row
    _refuse_duplicates(recipe, seen)


def _all_rows(recipe: "Recipe") -> Iterator[tuple[str, Row]]:
    """(place, checked row) of all files."""
    for path in recipe.candidate_files:
        for number, raw in read_file(path):
            place = f"{path}, line {number}"
            yield place, _checked(raw, place)


def _refuse_duplicates(recipe: "Recipe", digests: "array[int]") -> None:
    """Refuse a task id that occurs twice. Eight bytes of each were kept while reading; if two are
    equal, the files are read again to name both places.
    """
    numbers = np.frombuffer(digests, np.uint64)
    numbers.sort()
    duplicates = set(numbers[1:][numbers[1:] == numbers[:-1]].tolist())
    seen: dict[str, str] = {}
    for place, row in _all_rows(recipe) if duplicates else ():
        task_id = row["task_id"]
        if task_id in seen:
            raise InputError(
                f"{place}: task_id {task_id!r} is also at {seen[task_id]}; "
                "each problem is one row: merge the two or rename one"
            )
        if _digest(task_id) in duplicates:
            seen[task_id] = place


def _digest(task_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(task_id.encode(), digest_size=8).digest(), "little")


def _checked(raw: Any, place: str) -> Row:
    """One row in the columns of `SCHEMA`, or an `InputError` that names place and column."""
    if not isinstance(raw, dict):
        raise InputError(f"{place}: expected an object of columns, found a {type(raw).__name__}")
    raw = dict(raw)
    row: Row = {}
    for column in SCHEMA.names[:-1]:
        kind = SCHEMA.field(column).type
        optional = column in ("entry_point", "responses")
        if column not in raw and not optional:
            found = ", ".join(raw) or "none"
            raise InputError(f"{place}: column `{column}` is missing (columns here: {found})")
        value = raw.pop(column, None)
        if not (_is_text(value) if kind == pa.string() else _is_texts(value)) and not (
            optional and value is None
        ):
            expected = "text" if kind == pa.string() else "a list of texts"
            raise InputError(f"{place}: column `{column}` must be {expected}")
        row[column] = _storable(value)
    if row["responses"] is not None and len(row["responses"]) != len(row["solutions"]):
        raise InputError(
            f"{place}: {len(row['responses'])} responses for {len(row['solutions'])} solutions; "
            "`responses` holds the text that each solution was taken from, in the same order"
        )
    row["extra"] = json.dumps(raw, default=str)
    return row


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    return [storable(item) for item in value] if isinstance(value, list) else value


def read_file(path: Path) -> Iterator[tuple[int, Any]]:
    """(line or row number from 1, row) of one file."""
    return _read_parquet(path) if path.suffix == ".parquet" else _read_jsonl(path)


def _read_parquet(path: Path) -> Iterator[tuple[int, Any]]:
    number = 0
    try:
        with path.open("rb") as file:
            for batch in pq.ParquetFile(file).iter_batches(batch_size=256):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except pa.ArrowInvalid as error:
        raise InputError(
            f"{path}, row {number + 1}: not a complete parquet file: {error}"
        ) from None


def _read_jsonl(path: Path) -> Iterator[tuple[int, Any]]:
    number = 0
    try:
        with path.open("rb") as raw, _unpacked(raw, path) as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, _parse(line, f"{path}, line {number}")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"{path}, after line {number}: the gzip stream is damaged or cut short ({error}); "
            "copy or write the file again"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None


def _unpacked(file: IO[bytes], path: Path) -> IO[bytes]:
    return gzip.open(file, "rb") if path.suffix == ".gz" else file  # type: ignore[return-value]


def _parse(line: bytes, place: str) -> Any:
    try:
        return json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(
            f"{place}: not UTF-8 at byte {error.start + 1}; convert the file, for instance with "
            "`iconv -t utf-8`"
        ) from None
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{place}: not a JSON object: {error}") from None
