"""Problems small enough to judge by eye."""

from collections.abc import Sequence

import numpy as np

from codedpo_plugin.pairing.selection import Problem
from codedpo_plugin.ranking.pass_matrix import PassMatrix
from codedpo_plugin.ranking.rankers import RANKERS


def problem(
    outputs: Sequence[Sequence[int]],
    expected: Sequence[int],
    lengths: list[int] | None = None,
    task_id: str = "t",
) -> Problem:
    """N different solutions that return `outputs` [N, C], with M <= C tests that expect `expected`
    [M], ranked by agreement.
    """
    values = np.array(outputs)
    passes = values[:, : len(expected)] == np.array(expected)
    matrix = PassMatrix(task_id, passes, values, np.arange(len(values)))
    scores = RANKERS["agreement"](matrix).solutions
    order = sorted(range(len(values)), key=lambda index: -scores[index])
    return Problem(matrix, scores, order, lengths or [10] * len(values))
