"""Score: rank the solutions and tests of each problem by every ranker the recipe asks for.

Reads executions, adds one column per ranker, named as it is: a struct of `solution_scores`
(N floats) and `test_scores` (M floats).
"""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from codedpo_plugin import credible
from codedpo_plugin.rankers import NO_VALUE, RANKERS, PassMatrix
from codedpo_plugin.recipe import Recipe
from codedpo_plugin.shards import Row

STAGE = "scores"


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
    """The pass matrix of one row of executions, and its returned values as numbers per test."""
    passes = credible.passes(row)
    outputs = np.full(passes.shape, NO_VALUE)
    for test, column in enumerate(zip(*row["returned"], strict=True)):
        numbers: dict[str, int] = {}
        for solution, text in enumerate(column):
            if text is not None:
                outputs[solution, test] = numbers.setdefault(text, len(numbers))
    return PassMatrix(row["task_id"], passes, outputs)
