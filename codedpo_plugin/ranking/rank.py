"""Ranking: score the solutions and tests of each problem by every ranker of the recipe.

Reads executions and probes, adds one column per ranker, with its name: a struct of
`solution_scores` (N floats) and `test_scores` (M floats).
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from codedpo_plugin.ranking.pass_matrix import pass_matrix
from codedpo_plugin.ranking.rankers import RANKERS
from codedpo_plugin.run_folder.shards import Row

if TYPE_CHECKING:
    from codedpo_plugin.recipe import Recipe


def schema(recipe: "Recipe") -> pa.Schema:
    """`task_id` and a struct per ranker."""
    scores = pa.list_(pa.float64())
    group = pa.struct([("solution_scores", scores), ("test_scores", scores)])
    rankers = [(name, group) for name in recipe.score.rankers]
    return pa.schema([("task_id", pa.string()), *rankers])


def score(rows: Iterable[Row], recipe: "Recipe") -> Iterator[Row]:
    """Score one row at a time."""
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
