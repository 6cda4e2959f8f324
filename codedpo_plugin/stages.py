"""Build: the pipeline, stage after stage, shard after shard.

    candidates -> executions -> probes -> scores -> timings -> pairs -> dataset

Every stage but the first and last is a plain function from rows to rows, one row per problem; its
input row holds the columns of all stages it reads. To add a stage, write such a function and name
it in `STAGES`.
"""

import functools
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from codedpo_plugin.errors import InputError, StorageError
from codedpo_plugin.execution import execute, probe
from codedpo_plugin.executors.cores import physical_cores
from codedpo_plugin.pairing import pairs
from codedpo_plugin.ranking import rank
from codedpo_plugin.recipe import Recipe
from codedpo_plugin.run_folder import candidates
from codedpo_plugin.run_folder.progress import State
from codedpo_plugin.run_folder.shards import (
    Row,
    key_of,
    read_shard,
    shard_key,
    shard_path,
    write_shard,
)
from codedpo_plugin.timing import time_solutions

_SCRATCH = 64 << 20  # bytes that must be free where solutions write


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline."""

    name: str
    """Folder of its shards in the run."""
    function: Callable[[Iterable[Row], Recipe], Iterator[Row]]
    """From rows to as many rows."""
    reads: tuple[str, ...]
    """Stages whose columns its input rows hold."""
    sections: tuple[str, ...]
    """Recipe sections that its output depends on."""
    schema: Callable[[Recipe], pa.Schema]
    measures: bool = False
    """Whether it measures time, so that each of its workers needs a core alone."""
    version: int = 1
    """Raised when the same input gives other output than before: finished shards are made again."""


STAGES = {
    "execute": Stage(execute.STAGE, execute.execute, ("candidates",), ("execute",), execute.schema),
    "probe": Stage(
        probe.STAGE,
        probe.probe,
        ("candidates", "executions"),
        ("execute", "probe"),
        lambda _: probe.SCHEMA,
    ),
    "rank": Stage(rank.STAGE, rank.score, ("executions", "probes"), ("score",), rank.schema),
    "time": Stage(
        time_solutions.STAGE,
        time_solutions.time_solutions,
        ("candidates", "executions", "probes", "scores"),
        ("timing", "pairs"),
        lambda _: time_solutions.SCHEMA,
        measures=True,
        version=3,
    ),
    "pairs": Stage(
        pairs.STAGE,
        pairs.select_pairs,
        ("candidates", "executions", "probes", "scores", "timings"),
        ("pairs",),
        lambda _: pairs.SCHEMA,
    ),
}


class Shards(Protocol):
    """Where shards are made: `pool.Pool` on this machine, `ray_pool.RayPool` on many."""

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


def run_stage(name: str, recipe: Recipe, pool: Shards, part: tuple[int, int] = (1, 1)) -> float:
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
            elif shard_key(shard_path(recipe.output, stage.name, index)) != key:
                missing.append(index)
        state.plan(mine, missing + blocked, size)
        pool.run(
            functools.partial(make_shard, name, recipe),
            missing,
            name,
            state.problems_done,
            sum(map(size, mine)),
            state,
            physical_cores() if stage.measures else None,
        )
        if blocked:
            raise _not_there(stage, recipe, blocked)
    return time.monotonic() - started


def _not_there(stage: Stage, recipe: Recipe, shards: Sequence[int]) -> InputError:
    paths = [shard_path(recipe.output, source, shards[0]) for source in stage.reads]
    first = next((path for path in paths if shard_key(path) is None), paths[0])
    others = f", and {len(shards) - 1:,} more like it" if len(shards) > 1 else ""
    return InputError(
        f"{first}: is not there yet, or was damaged and is removed{others}; run the earlier stages "
        "first, or `codedpo build`"
    )


def is_finished(stage: Stage, recipe: Recipe, index: int) -> bool:
    """Whether a shard exists and was made from what is there now, with these settings."""
    key = shard_key(shard_path(recipe.output, stage.name, index))
    return key is not None and key == wanted_key(stage, recipe, index)


def wanted_key(stage: Stage, recipe: Recipe, index: int) -> str | None:
    """The key that a shard should have; None while a shard that it is made from is missing."""
    settings = [getattr(recipe, section).model_dump(mode="json") for section in stage.sections]
    sources = [shard_key(shard_path(recipe.output, source, index)) for source in stage.reads]
    if None in sources:
        return None
    ranker = recipe.ranker if "pairs" in stage.sections else None
    return key_of(stage.name, stage.version, settings, ranker, sources)


def make_shard(name: str, recipe: Recipe, index: int, tick: Callable[[], None]) -> None:
    """Make one shard; `tick` is called after each problem.

    Raises:
        InputError: a shard that it is made from is not there.
        InfrastructureError: the machine failed; nothing was written.
    """
    stage = STAGES[name]
    key = wanted_key(stage, recipe, index)
    if key is None:
        raise _not_there(stage, recipe, [index])
    rows = read_merged(recipe.output, stage.reads, index)
    made = _ticking(stage.function(rows, recipe), tick)
    write_shard(shard_path(recipe.output, stage.name, index), made, stage.schema(recipe), key)


def read_merged(
    run: Path, stages: Iterable[str], index: int, columns: Sequence[str] | None = None
) -> Iterator[Row]:
    """Rows of one shard with the columns of several stages, or those of them that are named."""
    shards = [read_shard(shard_path(run, stage, index), columns) for stage in stages]
    for parts in zip(*shards, strict=True):
        merged: Row = {}
        for part in parts:
            merged |= part
        yield merged


def _ticking(rows: Iterable[Row], tick: Callable[[], None]) -> Iterator[Row]:
    """The rows; a solution whose files found no room on the disk must not be blamed for it."""
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


def _manifest(recipe: Recipe) -> dict[str, Any]:
    manifest = candidates.read_manifest(recipe.output)
    if manifest is None:
        raise InputError(
            f"{recipe.output}: has no candidates yet; run `codedpo build` on the recipe"
        )
    return manifest
