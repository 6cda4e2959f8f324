"""Build: the pipeline, stage after stage, shard after shard.

    candidates -> executions -> probes -> scores -> timings -> pairs -> dataset

Every stage but the first and last is a plain function from rows to rows, one row per problem; its
input row holds the columns of all stages it reads. To add a stage, write such a function and name
it in `STAGES`.
"""

import functools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from codedpo_plugin import candidates, execute, pairs, probe, score, timing
from codedpo_plugin.errors import InputError
from codedpo_plugin.pool import Pool
from codedpo_plugin.recipe import Recipe
from codedpo_plugin.shards import Row, key_of, read_shard, shard_key, shard_path, write_shard


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
    "rank": Stage(score.STAGE, score.score, ("executions", "probes"), ("score",), score.schema),
    "time": Stage(
        timing.STAGE,
        timing.time_solutions,
        ("candidates", "executions", "scores"),
        ("timing", "pairs"),
        lambda _: timing.SCHEMA,
        version=2,
    ),
    "pairs": Stage(
        pairs.STAGE,
        pairs.select_pairs,
        ("candidates", "executions", "probes", "scores", "timings"),
        ("pairs",),
        lambda _: pairs.SCHEMA,
    ),
}


def run_stage(name: str, recipe: Recipe, pool: Pool, part: tuple[int, int] = (1, 1)) -> float:
    """Make the shards of a stage that are missing or out of date; `part` (i, n) takes every n-th.

    Returns wall seconds.

    Raises:
        InputError: a stage that this one reads is not finished.
        InfrastructureError: a shard failed repeatedly; all others were made.
    """
    started = time.monotonic()
    stage = STAGES[name]
    mine = range(_shards(recipe))[part[0] - 1 :: part[1]]
    missing = [index for index in mine if not is_finished(stage, recipe, index)]
    total = sum(_problems(recipe, index) for index in mine)
    done = total - sum(_problems(recipe, index) for index in missing)
    pool.run(functools.partial(make_shard, name, recipe), missing, name, done, total)
    return time.monotonic() - started


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
    """Make one shard; `tick` is called after each problem."""
    stage = STAGES[name]
    key = wanted_key(stage, recipe, index)
    if key is None:
        raise InputError(
            f"{recipe.output}: shard {index} of {', '.join(stage.reads)} is not there yet; "
            "run the earlier stages first, or `codedpo build`"
        )
    rows = read_merged(recipe.output, stage.reads, index)
    made = _ticking(stage.function(rows, recipe), tick)
    write_shard(shard_path(recipe.output, stage.name, index), made, stage.schema(recipe), key)


def read_merged(run: Path, stages: Iterable[str], index: int) -> Iterator[Row]:
    """Rows of one shard with the columns of several stages."""
    shards = [read_shard(shard_path(run, stage, index)) for stage in stages]
    for parts in zip(*shards, strict=True):
        merged: Row = {}
        for part in parts:
            merged |= part
        yield merged


def _ticking(rows: Iterable[Row], tick: Callable[[], None]) -> Iterator[Row]:
    for row in rows:
        yield row
        tick()


def _shards(recipe: Recipe) -> int:
    return int(_manifest(recipe)["shards"])


def _problems(recipe: Recipe, index: int) -> int:
    return int(min(recipe.shard_size, _manifest(recipe)["problems"] - index * recipe.shard_size))


def _manifest(recipe: Recipe) -> dict[str, Any]:
    manifest = candidates.read_manifest(recipe.output)
    if manifest is None:
        raise InputError(
            f"{recipe.output}: has no candidates yet; run `codedpo build` on the recipe"
        )
    return manifest
