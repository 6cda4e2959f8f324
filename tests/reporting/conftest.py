"""Fixtures of the report: a run written by hand, and its summary."""

from pathlib import Path

import pytest

from codedpo_plugin.recipe import Recipe
from codedpo_plugin.reporting import summary as report
from helpers.written_runs import COUNTS, LAYERS, SECONDS, make_run


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return make_run(tmp_path / "run")


@pytest.fixture
def summary(recipe: Recipe) -> report.Summary:
    return report.summarise(recipe, COUNTS, SECONDS, LAYERS)
