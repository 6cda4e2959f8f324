"""Timing: which of the solutions that pass all credible tests is fast, and how surely (paper, 3.4).

Reads candidates, executions and scores, adds:

| column | type | meaning |
|---|---|---|
| `timed` | K int | solutions that were timed, best-ranked first |
| `seconds` | K float | median CPU seconds of one pass over the credible tests |
| `log_ratio` | K float | ln(its time / time of the fastest), median over rounds |
| `standard_error` | K float | of `log_ratio` |
| `rounds` | int | rounds taken |
| `untimed` | str or null | why the problem was not timed |

A machine that is busy, or changes its clock, slows all solutions of a round alike; so times are
compared within rounds only, as logarithms of ratios, and `seconds` is for people.
"""

import math
import os
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from codedpo_plugin.assertions import split_test
from codedpo_plugin.credible import credible_tests, passes, ranked
from codedpo_plugin.execute import require
from codedpo_plugin.programs import keeps_state, normalised
from codedpo_plugin.recipe import Recipe, Timing
from codedpo_plugin.sandbox.client import Limits, Sandbox
from codedpo_plugin.shards import Row

STAGE = "timings"

SCHEMA = pa.schema(
    [
        ("task_id", pa.string()),
        ("timed", pa.list_(pa.int64())),
        ("seconds", pa.list_(pa.float64())),
        ("log_ratio", pa.list_(pa.float64())),
        ("standard_error", pa.list_(pa.float64())),
        ("rounds", pa.int64()),
        ("untimed", pa.string()),
    ]
)

_BATCH = 5  # rounds between two looks at the result
_SURE = 3.0  # standard errors ...
_MARGIN = 0.01  # ... and one per cent more: 0 wrong decisions at gaps of 10 % (see docs/timing.md)


def time_solutions(rows: Iterable[Row], recipe: Recipe) -> Iterator[Row]:
    """Time the solutions of each row; the sandbox is pinned to one core."""
    limits = Limits(recipe.execute.seconds, recipe.execute.memory_mb)
    with Sandbox(limits, pin_to=_own_core()) as sandbox:
        require(recipe.execute.require, sandbox)
        for row in rows:
            yield _time_problem(row, sandbox, recipe)


def decided(log_ratio: float, standard_error: float) -> bool:
    """Whether two solutions truly differ in speed, at three standard errors and 1 %."""
    return abs(log_ratio) > _SURE * standard_error + _MARGIN


def compare(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Speeds relative to the fastest.

    Args:
        samples: CPU seconds, [rounds, K].

    Returns:
        ln(time / time of the fastest), median over rounds [K], and its standard error [K]
        (1.2533 x 1.4826 x MAD / sqrt(rounds): that of a median of nearly normal values).
    """
    logs = np.log(samples)
    centred = logs - np.median(logs, axis=1, keepdims=True)
    fastest = int(np.argmin(np.median(centred, axis=0)))
    ratios = logs - logs[:, [fastest]]
    middle = np.median(ratios, axis=0)
    deviation = np.median(np.abs(ratios - middle), axis=0)
    return middle, 1.2533 * 1.4826 * deviation / math.sqrt(len(samples))


def _time_problem(row: Row, sandbox: Sandbox, recipe: Recipe) -> Row:
    credible = credible_tests(row, recipe)
    timed = _worth_timing(row, credible, recipe)
    calls = _calls(row, credible)
    if len(timed) < 2:
        return _untimed(row, "fewer than two different solutions pass all credible tests")
    if not calls:
        return _untimed(row, "no credible test calls the entry point")
    samples = _measure([row["solutions"][i] for i in timed], calls, sandbox, recipe.timing)
    alive = np.flatnonzero(np.isfinite(samples).all(axis=0) & (samples > 0).all(axis=0))
    if len(alive) < 2:
        return _untimed(row, "fewer than two solutions could be measured")
    samples = samples[:, alive]
    log_ratio, standard_error = compare(samples)
    return {
        "task_id": row["task_id"],
        "timed": [timed[i] for i in alive],
        "seconds": np.median(samples, axis=0).tolist(),
        "log_ratio": log_ratio.tolist(),
        "standard_error": standard_error.tolist(),
        "rounds": len(samples),
        "untimed": None,
    }


def _untimed(row: Row, reason: str) -> Row:
    empty: Row = {name: [] for name in ("timed", "seconds", "log_ratio", "standard_error")}
    return {"task_id": row["task_id"], **empty, "rounds": 0, "untimed": reason}


def _worth_timing(row: Row, credible: list[int], recipe: Recipe) -> list[int]:
    """Solutions that pass all credible tests: different programs, that keep no state."""
    if not credible:
        return []
    good: np.ndarray = np.all(passes(row)[:, credible], axis=1)
    different: dict[str, int] = {}
    for index in ranked(row, recipe):
        source = row["solutions"][index]
        if good[index] and not keeps_state(source):
            different.setdefault(normalised(source), index)
    return list(different.values())[: recipe.timing.max_solutions]


def _calls(row: Row, credible: list[int]) -> list[str]:
    """What is repeated: the calls of the credible tests (or the whole test), each once."""
    calls: dict[str, None] = {}
    entry_point = row["entry_point"]
    for index in credible:
        test = split_test(row["tests"][index], entry_point)
        if test.sealed:
            calls.update(dict.fromkeys(test.calls))
        elif not entry_point or entry_point in test.source:
            calls[test.source] = None
    return list(calls)


def _measure(
    solutions: list[str], calls: list[str], sandbox: Sandbox, settings: Timing
) -> np.ndarray:
    """Samples [rounds, K], taken until the fastest and slowest differ or the limits are reached."""
    race = sandbox.race(
        solutions, calls, sample_seconds=settings.sample_seconds, seconds=settings.seconds
    )
    rounds: list[list[float | None]] = []
    used = 0.0
    while len(rounds) < settings.max_rounds and used < settings.seconds:
        rounds += race.rounds(min(_BATCH, settings.max_rounds - len(rounds)))
        samples = np.array(rounds, dtype=float)
        used = float(np.nansum(np.maximum(samples, settings.sample_seconds)))
        alive = samples[:, np.isfinite(samples).all(axis=0)]
        if len(rounds) >= settings.min_rounds and _extremes_decided(alive):
            break
    race.end()
    return samples


def _extremes_decided(samples: np.ndarray) -> bool:
    if samples.shape[1] < 2:
        return True
    log_ratio, standard_error = compare(samples)
    slowest = int(np.argmax(log_ratio))
    return decided(log_ratio[slowest], standard_error[slowest])


def _own_core() -> int | None:
    """A core for this worker alone, of those it may use; None where cores cannot be chosen."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    cores = sorted(os.sched_getaffinity(0))
    return cores[os.getpid() % len(cores)]
