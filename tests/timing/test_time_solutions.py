"""The timing stage of small builds."""

from pathlib import Path

import numpy as np
from rich.console import Console

from codedpo_plugin import pipeline, stages
from codedpo_plugin.run_folder.shards import read_rows
from helpers.candidates import DOUBLE, make_recipe


def test_solutions_that_keep_state_are_not_timed(tmp_path: Path) -> None:
    cached = "seen = {}\ndef double(items):\n    k = tuple(items)\n    seen[k] = [x for x in items for _ in 'ab']\n    return seen[k]"
    recipe = make_recipe(tmp_path, [DOUBLE | {"solutions": [cached, *DOUBLE["solutions"]]}])
    pipeline.run_stages(stages.STAGES, recipe, (1, 1), Console(quiet=True))
    (timings,) = read_rows(recipe.output, "timings")
    assert timings["timed"] == [1, 2]  # the fifth is the first one with a comment
    assert timings["twin_log_ratio"] is not None
    assert timings["log_ratio"][1] > 3 * timings["standard_error"][1]


def test_a_far_slower_solution_makes_a_pair(tmp_path: Path) -> None:
    slow = "def double(items):\n    for _ in range(20000): pass\n    return [x for x in items for _ in 'ab']"
    recipe = make_recipe(tmp_path, [DOUBLE | {"solutions": [slow, *DOUBLE["solutions"]]}])
    pipeline.run_stages(stages.STAGES, recipe, (1, 1), Console(quiet=True))
    (timings,) = read_rows(recipe.output, "timings")
    slowest = timings["timed"].index(0)
    assert timings["rounds"] >= recipe.timing.min_rounds
    assert timings["log_ratio"][slowest] > np.log(4)
    assert slowest != 0 or timings["twin_log_ratio"] is None
    (pairs,) = read_rows(recipe.output, "pairs")
    assert 0 in [pair["rejected_index"] for pair in pairs["pairs"] if pair["kind"] == "efficiency"]
