"""The pairs stage of small builds."""

from pathlib import Path

from rich.console import Console

from codedpo_plugin import pipeline, stages
from codedpo_plugin.run_folder.shards import read_rows
from helpers.candidates import SIGN, make_recipe

QUIET = Console(quiet=True)


def test_no_samples_are_needed_where_correctness_pairs_are_switched_off(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, [SIGN], "pairs.min_confidence=1")
    pipeline.run_stages(stages.STAGES, recipe, (1, 1), QUIET)
    assert next(read_rows(recipe.output, "pairs"))["settle"]
    off = make_recipe(tmp_path, [SIGN], "pairs.min_confidence=1", "pairs.correctness=false")
    pipeline.run_stages(stages.STAGES, off, (1, 1), QUIET)
    assert next(read_rows(off.output, "pairs"))["settle"] is None
