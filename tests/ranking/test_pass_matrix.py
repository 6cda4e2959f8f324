"""The pass matrix: from rows, and its checks."""

import numpy as np
import pytest

from codedpo_plugin.ranking.pass_matrix import (
    NO_VALUE,
    NOT_RUN,
    REFUSED,
    PassMatrix,
    executed,
    pass_matrix,
)


def test_parts_of_different_shapes_are_refused():
    two = np.arange(2)
    with pytest.raises(ValueError, match=r"task-7.*\(2, 3\), \(3, 2\) and \(2,\)"):
        PassMatrix("task-7", np.ones((2, 3), dtype=bool), np.ones((3, 2), dtype=int), two)
    with pytest.raises(ValueError, match="bool matrix"):
        PassMatrix("task-7", np.ones((2, 3), dtype=int), np.ones((2, 3), dtype=int), two)


def test_outputs_of_a_row_are_numbered_within_each_input():
    row = {
        "task_id": "t",
        "outcomes": [["passed", "failed"], ["passed", "error"], ["not_run", "not_run"]],
        "returned": [["1", "2"], ["1", None], [None, None]],
        "errors": [[None, None], [None, "ValueError: no"], [None, None]],
        "probed": [["x"], [None], [None]],
        "probe_errors": [[None], ["KeyError"], [None]],
        "programs": [0, 1, 1],
    }
    matrix = pass_matrix(row)
    assert matrix.passes.tolist() == [[True, False], [True, False], [False, False]]
    assert matrix.outputs.tolist() == [
        [0, 0, 0],
        [0, REFUSED, NO_VALUE],
        [NOT_RUN, NOT_RUN, NOT_RUN],
    ]
    assert matrix.programs.tolist() == [0, 1, 1]
    assert executed(row) == [0, 1]
