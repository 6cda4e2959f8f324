"""One problem on a terminal."""

import re

import pytest

from codedpo_plugin.errors import InputError
from codedpo_plugin.recipe import Recipe
from codedpo_plugin.reporting.show import show
from codedpo_plugin.run_folder.shards import shard_path
from helpers.written_runs import PROBLEMS, make_run, output, problem, terminal


def shown(recipe: Recipe, task_id: str, width: int = 80) -> str:
    console = terminal(width)
    show(recipe.output, task_id, console)
    return output(console)


def test_show_marks_solutions_and_gives_reasons(recipe):
    text = shown(recipe, PROBLEMS[0]["task_id"])
    assert re.search(r"^ +1 +0 +1 +3/3 +A +4 ms  \.\.\. chosen, slow$", text, re.M)
    assert re.search(r"^ +1 +1 +1 +3/3 +A +1 ms  \.\.\. fast$", text, re.M)
    assert re.search(r"^ +3 +2 +0.3333 +1/3 +B +\.FE *$", text, re.M)
    assert re.search(r"^ +4 +3 +0 +0/3 +C +T-- rejected$", text, re.M)
    assert "solution 0 takes 4 ms: 4.00 times as long" in " ".join(text.split())
    assert "no correctness pair" not in text


def test_show_orders_tests_and_marks_them(tmp_path):
    recipe = make_run(tmp_path / "run", (problem("t", ["fpp", "ffp"], no_correctness="why"),))
    lines = [line for line in shown(recipe, "t").splitlines() if "  assert f(" in line]
    assert [line[line.index("assert") :][:11] for line in lines] == [
        "assert f(2)",
        "assert f(1)",
        "assert f(0)",
    ]
    assert ["*s" in line for line in lines] == [True, True, False]


def test_show_gives_the_reason_where_there_is_no_pair(recipe):
    text = shown(recipe, "set/two")
    assert "no correctness pair: all solutions pass" in text
    assert "no efficiency pair: no decided difference" in text


@pytest.mark.parametrize("width", [80, 140])
@pytest.mark.parametrize("row", PROBLEMS)
def test_show_is_safe_and_fits(recipe, row, width):
    text = shown(recipe, row["task_id"], width)
    assert max(map(len, text.splitlines())) <= width
    assert "[/red] [bold]x" in text
    assert "\\x1b[31m" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_show_cuts_many_tests_with_a_note(tmp_path):
    recipe = make_run(tmp_path / "run", (problem("t", ["p" * 200], no_correctness="why"),))
    text = shown(recipe, "t")
    assert "to 200 of this order do not fit the width" in text
    assert max(map(len, text.splitlines())) <= 80


def test_show_of_a_problem_without_outcomes(tmp_path):
    row = problem("t", ["nn", "nn"], no_correctness="why") | {"best": None, "credible_tests": []}
    assert "--" in shown(make_run(tmp_path / "run", (row,)), "t")


def test_show_refuses_other_folders_and_unfinished_runs(recipe, tmp_path):
    with pytest.raises(InputError, match="not a run folder"):
        show(tmp_path, "set/two", terminal())
    shard_path(recipe.output, "timings", 0).unlink()
    with pytest.raises(InputError, match="timings of 'set/two' are missing or out of date"):
        show(recipe.output, "set/two", terminal())


def test_an_unknown_task_suggests_similar_ones(recipe):
    with pytest.raises(
        InputError, match=r"no task 'set/tow' among its 3 problems; did you mean 'set/two'"
    ):
        show(recipe.output, "set/tow", terminal())
