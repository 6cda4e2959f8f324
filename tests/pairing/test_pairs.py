"""Selection and confidence on matrices small enough to judge by eye; probes; hygiene; rank-eval."""

import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from codedpo_plugin import pipeline, stages
from codedpo_plugin.dataset import export
from codedpo_plugin.errors import InputError
from codedpo_plugin.pairing.confidence import calibrate, evidence
from codedpo_plugin.pairing.more_samples import (
    MORE_SOLUTIONS,
    MORE_TESTS,
    NONE_RIGHT,
    what_would_settle,
    write_more,
)
from codedpo_plugin.pairing.selection import SELECTIONS, UNSURE, Problem
from codedpo_plugin.rank_eval import evaluate, report
from codedpo_plugin.ranking.credible_tests import discriminative_tests
from codedpo_plugin.ranking.pass_matrix import NO_VALUE, NOT_RUN, REFUSED, PassMatrix
from codedpo_plugin.ranking.rankers import RANKERS
from codedpo_plugin.recipe import Calibration, Pairs
from codedpo_plugin.run_folder.shards import read_rows
from helpers.candidates import DOUBLE, SIGN, make_recipe

QUIET = Console(quiet=True)


def problem(outputs, expected, lengths=None, programs=None, task_id="t"):
    """N solutions that return `outputs` [N, C], tests that expect `expected` [M]."""
    outputs = np.array(outputs)
    passes = outputs[:, : len(expected)] == np.array(expected)
    programs = np.arange(len(outputs)) if programs is None else np.array(programs)
    matrix = PassMatrix(task_id, passes, outputs, programs)
    scores = RANKERS["agreement"](matrix).solutions
    order = sorted(range(len(outputs)), key=lambda index: -scores[index])
    return Problem(matrix, scores, order, lengths or [10] * len(outputs))


def choose(selected, name="near_miss", **settings):
    return SELECTIONS[name](selected, Pairs(**settings))


AGREED = [[0, 0, 0, 0]] * 8 + [[0, 0, 0, 5], [9, 8, 7, 6], [NO_VALUE] * 4]


def test_a_near_miss_is_rejected_and_not_the_worst_where_it_is_as_sure():
    outputs = [*AGREED[:8], [0, 8, 7, 6], [NO_VALUE] * 4]
    (choice, *_), why = choose(problem(outputs, [0, 0, 0, 0]), per_problem=1)
    assert (choice.chosen < 8, choice.rejected, why) == (True, 8, None)
    (worst,), _ = choose(problem(outputs, [0, 0, 0, 0]), "worst")
    assert worst.rejected == 9


def test_the_more_agree_the_surer_the_pair():
    strong = choose(problem([[0] * 4] * 9 + [[1, 2, 3, 4]], [0, 0, 0, 1]))[0][0]
    outputs = [[0] * 4] * 4 + [[k, k + 1, k + 2, k + 3] for k in range(10, 60, 10)]
    weak = choose(problem(outputs, [0, 0, 0, 1]), min_confidence=0)[0][0]
    assert weak.confidence < 0.5 < strong.confidence


def test_it_abstains_where_each_solution_goes_its_own_way():
    outputs = [[k, k + 100, k + 200] for k in range(10)]
    assert choose(problem(outputs, [0, 100, 200])) == ([], UNSURE)


def test_a_popular_rival_that_tests_speak_for_makes_it_abstain():
    """Six share a wrong behaviour, four the right one, and more tests expect the right one."""
    camps = [[1, 1, 1, 1, 1]] * 6 + [[0, 0, 0, 0, 0]] * 4
    assert choose(problem(camps, [0, 0, 0, 0, 1])) == ([], UNSURE)
    alone = [[1, 1, 1, 1, 1]] * 9 + [[0, 0, 0, 0, 0]]
    assert choose(problem(alone, [1, 1, 1, 1, 0]))[0]


def test_refused_inputs_are_no_evidence_of_being_wrong():
    """A solution that raises ValueError on an input that the problem may not allow is not rejected
    for it; one that crashes there is."""
    refuses = [[0, 0, 0]] * 8 + [[0, 0, REFUSED]]
    crashes = [[0, 0, 0]] * 8 + [[0, 0, NO_VALUE]]
    assert evidence(problem(refuses, [0, 0, 0]).matrix, 0).differs[8] == 0
    assert evidence(problem(crashes, [0, 0, 0]).matrix, 0).differs[8] > 0


def test_pairs_of_one_problem_differ_in_behaviour_and_take_other_texts():
    outputs = [[0] * 4] * 8 + [[5] * 4, [5] * 4, [6, 7, 8, 9]]
    choices, _ = choose(problem(outputs, [0] * 4), per_problem=5, min_confidence=0)
    assert sorted(choice.rejected for choice in choices) in ([8, 10], [9, 10])
    assert len({choice.chosen for choice in choices}) == 2


def test_chosen_is_the_longer_text_about_as_often_as_the_shorter():
    longer = 0
    for number in range(200):
        lengths = [50, 5, 50, 5, 50, 5, 50, 5, 20, 20]
        outputs = [[0] * 4] * 8 + [[1, 2, 3, 4], [5, 6, 7, 8]]
        (choice,), _ = choose(
            problem(outputs, [0] * 4, lengths, task_id=str(number)), per_problem=1
        )
        longer += lengths[choice.chosen] > lengths[choice.rejected]
    assert 70 < longer < 130


def test_programs_that_were_not_run_on_probes_are_not_held_to_them():
    outputs = [[0, 0, 3, 3]] * 6 + [[0, 0, NOT_RUN, NOT_RUN], [1, 1, NOT_RUN, NOT_RUN]]
    found = evidence(problem(outputs, [0, 0]).matrix, 0)
    assert found.alike.tolist() == [True] * 7 + [False]


def test_calibration_follows_many_labels_and_hardly_moves_for_few():
    chance = np.random.default_rng(0)
    prior, true = Calibration(), Calibration(intercept=0.5, slope=2.0)
    leads = chance.random(4000)
    right = chance.random(4000) < [true.probability(lead) for lead in leads]
    many, few = calibrate(leads, right, prior), calibrate(leads[:5], right[:5], prior)
    assert abs(many.probability(0.5) - true.probability(0.5)) < 0.05
    assert abs(few.probability(0.5) - prior.probability(0.5)) < 0.3
    assert calibrate(leads[:0], right[:0], prior).probability(0.3) == pytest.approx(
        prior.probability(0.3)
    )


def test_what_would_settle_a_problem():
    camps = [[1] * 4] * 5 + [[0] * 4] * 5
    assert what_would_settle(problem(camps, [0, 0, 1, 1])) == MORE_TESTS
    assert what_would_settle(problem([[0] * 4] * 10, [0] * 4)) == MORE_SOLUTIONS
    chaos = [[k, k + 100, k + 200] for k in range(10)]
    assert what_would_settle(problem(chaos, [0, 100, 200])) == NONE_RIGHT


def test_nothing_is_to_settle_where_correctness_pairs_are_not_wanted(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, [SIGN], "pairs.min_confidence=1")
    pipeline.run_stages(stages.STAGES, recipe, (1, 1), QUIET)
    assert next(read_rows(recipe.output, "pairs"))["settle"]
    off = make_recipe(tmp_path, [SIGN], "pairs.min_confidence=1", "pairs.correctness=false")
    pipeline.run_stages(stages.STAGES, off, (1, 1), QUIET)
    assert next(read_rows(off.output, "pairs"))["settle"] is None


def test_pairs_of_one_confidence_are_taken_together() -> None:
    def made(confidence, right):
        return evaluate.Pair(0, confidence, right, False, True, 0.0, False, 0.5)

    pairs = [made(0.5, False), made(0.9, True), made(0.5, True), made(0.5, True)]
    taken, right = evaluate.by_confidence(pairs)
    assert (taken.tolist(), right.tolist()) == ([1, 4], [1, 0.75])
    assert [len(part) for part in evaluate.by_confidence([])] == [0, 0]


def test_problems_that_more_samples_would_settle_are_listed(tmp_path: Path) -> None:
    """In responses, where the run asked for them: one may hold many tests, or no program."""
    wants = [MORE_TESTS, MORE_SOLUTIONS, NONE_RIGHT, None, MORE_TESTS]
    rows = [
        {"solutions": ["a"] * 13, "tests": ["b"] * 50, "task_id": str(n), "settle": want}
        for n, want in enumerate(wants)
    ]

    def written(asked, earlier):
        count = write_more(rows, tmp_path / "more.jsonl", asked, earlier)
        lines = (tmp_path / "more.jsonl").read_text().splitlines()
        return count, [json.loads(line) for line in lines]

    earlier = {"3": {"solutions": 30, "tests": 0}, "4": {"solutions": 30, "tests": 10}}
    assert written({"solutions": 15, "tests": 5}, earlier) == (
        3,
        [
            {"task_id": "0", "tests": 10},
            {"task_id": "1", "solutions": 30},
            {"task_id": "3", "solutions": 30},
            {"task_id": "4", "solutions": 30, "tests": 20},
        ],
    )
    of_their_own = [{"task_id": "0", "tests": 100}, {"task_id": "1", "solutions": 26}]
    assert written(None, {}) == (3, [*of_their_own, {"task_id": "4", "tests": 100}])


def test_tests_that_even_wrong_solutions_pass_are_not_timed():
    row = {"outcomes": [["passed", "passed", "failed"], ["passed", "failed", "failed"]]}
    assert discriminative_tests(row, [0, 1]) == [1]
    assert discriminative_tests(row, [0]) == [0]


def test_probes_are_run_and_known_by_value_or_error(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, [DOUBLE], "probe.per_test=2")
    pipeline.run_stages(["execute", "probe"], recipe, (1, 1), QUIET)
    (row,) = read_rows(recipe.output, "probes")
    assert row["probes"]
    assert set(row["probe_tests"]) <= {0, 3, 4}
    assert row["probed"][0] == row["probed"][1] == row["probed"][4] != row["probed"][2]
    assert row["programs"] == [0, 1, 2, 3, 0]
    assert row["probe_errors"][3] == ["NameError"] * len(row["probes"])


def test_a_target_precision_drops_the_least_sure_pairs(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, [DOUBLE, SIGN])
    pipeline.build(recipe, (1, 1), QUIET)
    sure = [
        pair["confidence"] for row in read_rows(recipe.output, "pairs") for pair in row["pairs"]
    ]
    target = (max(sure) + np.mean(sure)) / 2
    stricter = recipe.model_copy(
        update={"pairs": recipe.pairs.model_copy(update={"target_precision": target})}
    )
    least = export.least_confidence(stricter, 1)
    assert np.mean([value for value in sure if value >= least]) >= target
    assert np.mean(sorted(sure)[:1]) < least


def labelled(tmp_path: Path, truth):
    rows = [DOUBLE | {"truth": truth[0]}, SIGN | {"truth": truth[1]}]
    return make_recipe(tmp_path, rows)


def test_rank_eval_reads_truth_and_writes_what_it_found(tmp_path: Path) -> None:
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


def test_a_draw_takes_the_probes_of_its_tests_and_no_others(tmp_path: Path) -> None:
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
