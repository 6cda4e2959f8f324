"""Runs a stage: finds its missing and outdated shards, and has a pool make them."""

import functools
import pkgutil
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from codedpo_plugin.errors import InputError, StorageError
from codedpo_plugin.machine import physical_cores
from codedpo_plugin.run_folder import candidates
from codedpo_plugin.run_folder.progress import State
from codedpo_plugin.run_folder.shard_keys import wanted_key
from codedpo_plugin.run_folder.shards import (
    Row,
    read_merged,
    shard_key,
    shard_path,
    write_shard,
)
from codedpo_plugin.stages import STAGES, Stage

if TYPE_CHECKING:
    import pyarrow as pa

    from codedpo_plugin.recipe import Recipe

_SCRATCH = 64 << 20  # bytes that must be free where solutions write files


class ShardPool(Protocol):
    """Where shards are made: `local.Pool` on this machine, `ray.RayPool` on many."""

    def run(
        self,
        work: Callable[[int, Callable[[], None]], None],
        shards: Sequence[int],
        label: str,
        done: int,
        total: int,
        state: State | None = None,
        at_once: int | None = None,
    ) -> None: ...


def run_stage(
    name: str, recipe: "Recipe", pool: ShardPool, part: tuple[int, int] = (1, 1)
) -> float:
    """Make the shards of a stage that are missing or out of date; `part` (i, n) takes every n-th.

    Returns wall seconds.

    Raises:
        InputError: a stage that this one reads is not finished; what could be made was made.
        InfrastructureError: shards failed repeatedly; all others were made.
    """
    stage, manifest = STAGES[name], _manifest(recipe)
    mine = range(manifest["shards"])[part[0] - 1 :: part[1]]

    def size(index: int) -> int:
        return int(min(recipe.shard_size, manifest["problems"] - index * recipe.shard_size))

    with State(recipe.output, name, part) as state:
        started = time.monotonic()
        missing, blocked = [], []
        for index in mine:
            key = wanted_key(stage, recipe, index)
            if key is None:
                blocked.append(index)
            elif shard_key(shard_path(recipe.output, stage.folder, index)) != key:
                missing.append(index)
        state.plan(mine, missing + blocked, size)
        pool.run(
            functools.partial(make_shard, name, recipe),
            missing,
            name,
            state.problems_done,
            sum(map(size, mine)),
            state,
            physical_cores() if stage.measures_time else None,
        )
        if blocked:
            raise _missing_source(stage, recipe, blocked)
    return time.monotonic() - started


def _missing_source(stage: Stage, recipe: "Recipe", shards: Sequence[int]) -> InputError:
    paths = [shard_path(recipe.output, source.folder, shards[0]) for source in stage.reads]
    first = next((path for path in paths if shard_key(path) is None), paths[0])
    others = f", and {len(shards) - 1:,} more like it" if len(shards) > 1 else ""
    return InputError(
        f"{first}: does not exist yet, or was damaged and removed{others}; run the earlier stages "
        "first, or `codedpo build`"
    )


def make_shard(name: str, recipe: "Recipe", index: int, tick: Callable[[], None]) -> None:
    """Make one shard; `tick` is called after each problem.

    Raises:
        InputError: a shard that it is made from is missing.
        InfrastructureError: the machine failed; nothing was written.
    """
    stage = STAGES[name]
    key = wanted_key(stage, recipe, index)
    if key is None:
        raise _missing_source(stage, recipe, [index])
    rows = read_merged(recipe.output, stage.reads, index)
    made = _ticking(stage.load()(rows, recipe), tick)
    path = shard_path(recipe.output, stage.folder, index)
    write_shard(path, made, schema_of(stage, recipe), key)


def schema_of(stage: Stage, recipe: "Recipe") -> "pa.Schema":
    """Columns of a stage's shards."""
    schema = pkgutil.resolve_name(stage.schema)
    return schema(recipe) if callable(schema) else schema


def _ticking(rows: Iterable[Row], tick: Callable[[], None]) -> Iterator[Row]:
    """The rows, counted by `tick`; stops before a full disk makes solutions fail."""
    _need_scratch()
    for row in rows:
        _need_scratch()
        yield row
        tick()


def _need_scratch() -> None:
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if free < _SCRATCH:
        raise StorageError(
            f"{folder}: only {free >> 20} MiB are free for the files of solutions, and "
            f"{_SCRATCH >> 20} are needed; free some space, or set TMPDIR to another folder, and "
            "run the same command"
        )


def _manifest(recipe: "Recipe") -> dict[str, Any]:
    manifest = candidates.read_manifest(recipe.output)
    if manifest is None:
        raise InputError(
            f"{recipe.output}: has no candidates yet; run `codedpo build` on the recipe"
        )
    return manifest
