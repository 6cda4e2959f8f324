"""The order of solutions, and the credible tests: those that the best solution passes (paper,
sections 3.3 and 3.4).
"""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from codedpo_plugin.ranking.pass_matrix import executed, pass_flags
from codedpo_plugin.run_folder.shards import Row

if TYPE_CHECKING:
    from codedpo_plugin.recipe import Recipe


def ranked(row: Row, recipe: "Recipe") -> list[int]:
    """Solutions that ran, best first; ties in the order of `pairs.ties`."""
    scores = row[recipe.ranker]["solution_scores"]
    return sorted(executed(row), key=lambda i: (-scores[i], _tie_break(row, i, recipe.pairs.ties)))


def credible_tests(row: Row, recipe: "Recipe") -> list[int]:
    """The tests that the best solution passes; none where nothing ran."""
    order = ranked(row, recipe)
    return np.flatnonzero(pass_flags(row)[order[0]]).tolist() if order else []


def discriminative_tests(row: Row, credible: list[int]) -> list[int]:
    """The credible tests that some solution fails; all of them if no solution fails any.

    These are worth timing: a test that even wrong solutions pass often has a trivial input, such as
    an empty list, on which all programs are fast.
    """
    table = pass_flags(row)[executed(row)]
    return [test for test in credible if not table[:, test].all()] or credible


def _tie_break(row: Row, index: int, ties: str) -> tuple[int | str, int]:
    if ties == "shortest":
        return len(row["solutions"][index]), index
    if ties == "random":
        return hashlib.sha256(f"{row['task_id']}/{index}".encode()).hexdigest(), index
    return 0, index
