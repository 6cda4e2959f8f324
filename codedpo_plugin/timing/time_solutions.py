"""Timing: which of the solutions that pass all credible tests is fastest (paper, section 3.4).

Reads candidates, executions, probes and scores, adds:

| column | type | meaning |
|---|---|---|
| `timed` | K int | solutions that were timed, best-ranked first |
| `seconds` | K float | median CPU seconds of one pass over the credible tests |
| `log_ratio` | K float | ln(its time / time of the fastest), median over rounds |
| `standard_error` | K float | of `log_ratio` |
| `rounds` | int | rounds taken, of the programs that were never dropped |
| `enlarged` | int | calls whose arguments were enlarged |
| `twin_log_ratio`, `twin_error` | float or null | the same for a copy of the first (control) |
| `untimed` | str or null | why the problem was not timed |

`seconds` is for display; decisions use `log_ratio`, which compares within rounds.

A solution that is far behind is dropped after three rounds: it would take most of the time, and
could not change a decision. Its figures are those of its rounds; if it is the first solution, its
control copy is dropped with it, and there is no `twin_log_ratio`.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from codedpo_plugin.machine import own_core
from codedpo_plugin.parsing.programs import keeps_state
from codedpo_plugin.ranking.credible_tests import credible_tests, ranked
from codedpo_plugin.ranking.pass_matrix import pass_flags
from codedpo_plugin.recipe import Recipe
from codedpo_plugin.run_folder.shards import Row
from codedpo_plugin.sandbox.client import Limits, Sandbox
from codedpo_plugin.sandbox.self_check import require
from codedpo_plugin.timing.inputs import enlarge, timed_calls
from codedpo_plugin.timing.measurement import measure
from codedpo_plugin.timing.speed_ratio import compare, log_ratio

SCHEMA = pa.schema(
    [
        ("task_id", pa.string()),
        ("timed", pa.list_(pa.int64())),
        ("seconds", pa.list_(pa.float64())),
        ("log_ratio", pa.list_(pa.float64())),
        ("standard_error", pa.list_(pa.float64())),
        ("rounds", pa.int64()),
        ("enlarged", pa.int64()),
        ("twin_log_ratio", pa.float64()),
        ("twin_error", pa.float64()),
        ("untimed", pa.string()),
    ]
)


def time_solutions(rows: Iterable[Row], recipe: Recipe) -> Iterator[Row]:
    """Time the solutions of each row, on a core that nothing else is timed on meanwhile."""
    if not recipe.pairs.efficiency:  # without waiting for a core
        yield from (_untimed(row, "switched off") for row in rows)
        return
    limits = Limits(recipe.execute.seconds, recipe.execute.memory_mb)
    with own_core() as core, Sandbox(limits, pin_to=core) as sandbox:
        require(recipe.execute.require, sandbox)
        for row in rows:
            yield _time_problem(row, sandbox, recipe)


def _time_problem(row: Row, sandbox: Sandbox, recipe: Recipe) -> Row:
    credible = credible_tests(row, recipe)
    solutions = _to_time(row, credible, recipe)
    calls = timed_calls(row, credible)
    if len(solutions) < 2:
        return _untimed(row, "fewer than two different solutions pass all credible tests")
    if not calls:
        return _untimed(row, "no credible test calls the entry point")
    programs = [row["solutions"][i] for i in solutions]
    larger = enlarge(calls, programs, sandbox) if recipe.timing.enlarge else calls
    ratio = recipe.pairs.min_speed_ratio
    samples = measure([*programs, programs[0]], larger, sandbox, recipe.timing, ratio, copies=1)
    if np.isfinite(samples[0, :-1]).sum() < 2:
        return _untimed(row, "fewer than two solutions could be measured")
    enlarged = sum(one != other for one, other in zip(calls, larger, strict=True))
    return {"task_id": row["task_id"], "enlarged": enlarged} | _figures(samples, solutions)


def _figures(samples: np.ndarray, solutions: list[int]) -> Row:
    """The columns that samples [rounds, solutions and a control copy of the first] give."""
    first, copy = samples[:, 0], samples[:, -1]
    control = log_ratio(copy, first) if np.isfinite(first + copy).all() else (None, None)
    measured = np.flatnonzero(np.isfinite(samples[0, :-1]))
    samples = samples[:, measured]
    log_ratios, errors = compare(samples)
    return {
        "timed": [solutions[i] for i in measured],
        "seconds": np.nanmedian(samples, axis=0).tolist(),
        "log_ratio": log_ratios.tolist(),
        "standard_error": errors.tolist(),
        "rounds": len(samples),
        "twin_log_ratio": control[0],
        "twin_error": control[1],
        "untimed": None,
    }


def _untimed(row: Row, reason: str) -> Row:
    empty: Row = {name: [] for name in ("timed", "seconds", "log_ratio", "standard_error")}
    nothing = {"rounds": 0, "enlarged": 0, "twin_log_ratio": None, "twin_error": None}
    return {"task_id": row["task_id"], **empty, **nothing, "untimed": reason}


def _to_time(row: Row, credible: list[int], recipe: Recipe) -> list[int]:
    """Solutions that pass all credible tests, best first: different programs without state between
    calls, as that would make later calls cheaper.
    """
    if not credible:
        return []
    passing: np.ndarray = np.all(pass_flags(row)[:, credible], axis=1)
    different: dict[int, int] = {}
    for index in ranked(row, recipe):
        program = row["programs"][index]
        if passing[index] and program not in different and not keeps_state(row["solutions"][index]):
            different[program] = index
    return list(different.values())[: recipe.timing.max_solutions]
