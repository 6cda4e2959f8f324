"""Solutions that passed a test are run on further inputs."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from codedpo_plugin import pipeline
from codedpo_plugin.execution.probe import probe_problem
from codedpo_plugin.run_folder.shards import read_rows
from codedpo_plugin.sandbox.client import Limits, Sandbox
from helpers.candidates import DOUBLE, make_recipe

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only rlimits hold off Linux")

HONEST = "def f(x):\n    return x + 1\n"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Limits(seconds=0.3, memory_mb=512)) as sandbox:
        yield sandbox


def probed(sandbox: Sandbox, **outcomes: str) -> dict[str, Any]:
    """The row for solutions with the outcome that each had on the one test."""
    solutions = {
        "honest": HONEST,
        "commented": f"# a comment\n{HONEST}",
        "other": "def f(x):\n    return x + 1 if x == 1 else str(x)\n",
        "raises": "def f(x):\n    return {1: 2}[x]\n",
        "wrong": "def f(x):\n    return 0\n",
    }
    row = {
        "task_id": "t",
        "entry_point": "f",
        "solutions": [solutions[name] for name in outcomes],
        "tests": ["assert f(1) == 2"],
        "outcomes": [[outcome] for outcome in outcomes.values()],
    }
    found: dict[str, Any] = probe_problem(row, sandbox, per_test=4, most=3)
    return found


def test_calls_are_new_and_belong_to_their_test(sandbox: Sandbox) -> None:
    row = probed(sandbox, honest="passed")
    assert 0 < len(row["probes"]) <= 3
    assert "f(1)" not in row["probes"]
    assert row["probe_tests"] == [0] * len(row["probes"])


def test_programs_that_agree_on_the_test_differ_on_further_inputs(sandbox: Sandbox) -> None:
    row = probed(sandbox, honest="passed", commented="passed", other="passed", raises="passed")
    honest, commented, other, raises = row["probed"]
    assert honest == commented != other
    assert None not in honest
    assert set(raises) == {None}
    assert set(row["probe_errors"][3]) == {"KeyError"}


def test_comments_make_no_other_program(sandbox: Sandbox) -> None:
    row = probed(sandbox, honest="passed", other="passed", commented="passed")
    assert row["programs"] == [0, 1, 0]


def test_what_passed_nothing_or_timed_out_is_not_run(sandbox: Sandbox) -> None:
    row = probed(sandbox, honest="timeout", wrong="failed", other="passed")
    nothing = [None] * len(row["probes"])
    assert row["probed"][:2] == row["probe_errors"][:2] == [nothing, nothing]


def test_the_stage_adds_its_columns(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, [DOUBLE], "probe.per_test=2")
    pipeline.run_stages(["execute", "probe"], recipe, (1, 1), Console(quiet=True))
    (row,) = read_rows(recipe.output, "probes")
    assert row["probes"]
    assert set(row["probe_tests"]) <= {0, 3, 4}
    assert row["probed"][0] == row["probed"][1] == row["probed"][4] != row["probed"][2]
    assert row["programs"] == [0, 1, 2, 3, 0]
    assert row["probe_errors"][3] == ["NameError"] * len(row["probes"])
