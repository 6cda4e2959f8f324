"""Score: rank the solutions and tests of each problem by every ranker the recipe asks for.

Reads executions and probes, adds one column per ranker, named as it is: a struct of
`solution_scores` (N floats) and `test_scores` (M floats).
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from codedpo_plugin.ranking import credible_tests
from codedpo_plugin.ranking.rankers import NO_VALUE, NOT_RUN, RANKERS, REFUSED, PassMatrix
from codedpo_plugin.recipe import Recipe
from codedpo_plugin.run_folder.shards import Row


def schema(recipe: Recipe) -> pa.Schema:
    """`task_id` and a struct per ranker."""
    scores = pa.list_(pa.float64())
    group = pa.struct([("solution_scores", scores), ("test_scores", scores)])
    rankers = [(name, group) for name in recipe.score.rankers]
    return pa.schema([("task_id", pa.string()), *rankers])


def score(rows: Iterable[Row], recipe: Recipe) -> Iterator[Row]:
    """Score executions, one row at a time."""
    for row in rows:
        matrix = pass_matrix(row)
        scored: Row = {"task_id": row["task_id"]}
        for name, parameters in recipe.score.rankers.items():
            scores = RANKERS[name](matrix, **parameters)
            scored[name] = {
                "solution_scores": scores.solutions.tolist(),
                "test_scores": scores.tests.tolist(),
            }
        yield scored


def pass_matrix(row: Row) -> PassMatrix:
    """The pass matrix of one row of executions and probes, and what was returned, as numbers."""
    passes = credible_tests.passes(row)
    columns = [_numbers(cells) for cells in zip(*map(_cells, _solutions(row)), strict=True)]
    outputs = np.array(columns, dtype=int).reshape(-1, len(passes)).T
    return PassMatrix(row["task_id"], passes, outputs, np.array(row["programs"], dtype=int))


_Cell = tuple[str | None, str | None, bool]  # value, error, ran


def _solutions(row: Row) -> Iterator[tuple[list[Any], ...]]:
    """What is known of each solution."""
    names = ("returned", "errors", "outcomes", "probed", "probe_errors")
    return zip(*(row[name] for name in names), strict=True)


def _cells(solution: tuple[list[Any], ...]) -> list[_Cell]:
    """The cells of one solution: on the tests, then on the probes."""
    returned, errors, outcomes, probed, probe_errors = solution
    ran = [outcome not in ("not_run", "flaky") for outcome in outcomes]
    known = [bool(value or error) for value, error in zip(probed, probe_errors, strict=True)]
    return [
        *zip(returned, errors, ran, strict=True),
        *zip(probed, probe_errors, known, strict=True),
    ]


def _numbers(cells: tuple[_Cell, ...]) -> list[int]:
    """One column of `PassMatrix.outputs`."""
    numbers: dict[str, int] = {}
    found = []
    for value, error, ran in cells:
        if value is not None:
            found.append(numbers.setdefault(value, len(numbers)))
        elif ran:
            refused = error is not None and error.partition(":")[0] == "ValueError"
            found.append(REFUSED if refused else NO_VALUE)
        else:
            found.append(NOT_RUN)
    return found
