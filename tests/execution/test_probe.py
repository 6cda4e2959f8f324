"""Execution on mutated inputs."""

from pathlib import Path

from rich.console import Console

from codedpo_plugin import pipeline
from codedpo_plugin.run_folder.shards import read_rows
from helpers.candidates import DOUBLE, make_recipe

QUIET = Console(quiet=True)


def test_mutated_inputs_give_a_value_or_an_error(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, [DOUBLE], "probe.per_test=2")
    pipeline.run_stages(["execute", "probe"], recipe, (1, 1), QUIET)
    (row,) = read_rows(recipe.output, "probes")
    assert row["probes"]
    assert set(row["probe_tests"]) <= {0, 3, 4}
    assert row["probed"][0] == row["probed"][1] == row["probed"][4] != row["probed"][2]
    assert row["programs"] == [0, 1, 2, 3, 0]
    assert row["probe_errors"][3] == ["NameError"] * len(row["probes"])
