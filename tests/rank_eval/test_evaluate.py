"""Rank-eval on two small problems of known truth: evaluation and report."""

import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from codedpo_plugin.errors import InputError
from codedpo_plugin.rank_eval import evaluate, report
from helpers.candidates import DOUBLE, SIGN, make_recipe

QUIET = Console(quiet=True)


def test_pairs_of_equal_confidence_are_taken_together() -> None:
    def made(confidence, right):
        return evaluate.Pair(0, confidence, right, False, True, 0.0, False, 0.5)

    pairs = [made(0.5, False), made(0.9, True), made(0.5, True), made(0.5, True)]
    taken, right = evaluate.by_confidence(pairs)
    assert (taken.tolist(), right.tolist()) == ([1, 4], [1, 0.75])
    assert [len(part) for part in evaluate.by_confidence([])] == [0, 0]


def labelled(tmp_path: Path, truth):
    rows = [DOUBLE | {"truth": truth[0]}, SIGN | {"truth": truth[1]}]
    return make_recipe(tmp_path, rows)


def test_known_truth_gives_shares_a_table_and_a_plot(tmp_path: Path) -> None:
    truth = [[True, True, False, False, True], [True, False, False, False, True]]
    recipe = labelled(tmp_path, truth)
    problems = evaluate.labelled_problems(recipe, None, QUIET)
    results = evaluate.evaluate(problems, (None, None), 1, recipe.pairs)
    summary = report.summarise(results, recipe.pairs.calibration, canary=0)
    assert summary["rankings"]["self_validation"]["top-1"][0] == 1
    assert summary["selections"]["paper's rule"]["right"][0] == 1
    json_file, markdown, picture = report.write(tmp_path / "out", summary, results)
    assert json.loads(json_file.read_text())["problems"] == 2
    assert "| paper's rule | 2.0 | 1.00 [1.00, 1.00]" in markdown.read_text()
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_a_draw_takes_the_mutated_inputs_of_its_tests_only(tmp_path: Path) -> None:
    recipe = labelled(tmp_path, [[True] * 5, [True] * 5])
    whole = evaluate.labelled_problems(recipe, None, QUIET)[0]
    sample = evaluate.drawn(whole, (3, 2), np.random.default_rng(1))
    tests, probes = sample.matrix.passes.shape[1], len(sample.probe_tests)
    assert (sample.matrix.passes.shape[0], tests) == (3, 2)
    assert sample.matrix.outputs.shape[1] == tests + probes
    assert len(set(sample.probe_tests)) <= 2


@pytest.mark.parametrize(
    ("truth", "name", "message"),
    [
        ([[True], [True] * 5], None, "double: needs a column `truth`"),
        ([{"base": [True] * 5}, {"base": [True] * 5}], "plus", "double: `truth` holds base"),
    ],
)
def test_missing_truth_is_named(tmp_path: Path, truth, name, message) -> None:
    with pytest.raises(InputError, match=message):
        evaluate.labelled_problems(labelled(tmp_path, truth), name, QUIET)
