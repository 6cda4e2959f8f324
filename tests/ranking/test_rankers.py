"""Rankers on matrices small enough to work out by hand, and on degenerate ones."""

import inspect

import numpy as np
import pytest
from scipy.special import betaln
from scipy.stats import spearmanr

from codedpo_plugin.ranking.pass_matrix import NO_VALUE, NOT_RUN, PassMatrix
from codedpo_plugin.ranking.rankers import (
    RANKERS,
    agreement,
    all_tests,
    b4,
    check_parameters,
    codet,
    passed_count,
    random,
    self_validation,
    self_validation_step,
)

SCHEDULES = ["simultaneous", "sequential"]


def pass_matrix(passes, outputs=None, task_id="task", programs=None):
    passes = np.array(passes, dtype=bool)
    outputs = np.full(passes.shape, -1) if outputs is None else np.array(outputs)
    programs = np.arange(len(passes)) if programs is None else np.array(programs)
    return PassMatrix(task_id, passes, outputs, programs)


def random_matrix(n=15, m=12, seed=0):
    """Solutions and tests of different quality, one right and some with the same behaviour."""
    draw = np.random.default_rng(seed)
    passes = draw.random((n, m)) < np.outer(draw.beta(1, 1, n), draw.beta(2, 1, m))
    passes[1], passes[n // 2 :: 3] = True, passes[0]
    return pass_matrix(passes, draw.integers(-1, 3, (n, m)))


@pytest.mark.parametrize(
    ("schedule", "after_1", "after_2"),
    [
        ("sequential", ([1.75, 1.25], [1.5, 1.0]), ([2.6875, 1.75], [2.25, 1.375])),
        ("simultaneous", ([1.5, 1.0], [1.5, 1.0]), ([2.0, 1.25], [2.0, 1.25])),
    ],
)
def test_worked_example_of_the_paper(schedule, after_1, after_2):
    """A passes t1 and t2, B passes t1; damping 0.5."""
    matrix = pass_matrix([[1, 1], [1, 0]])
    scores = np.ones(2), np.ones(2)
    for expected in (after_1, after_2):
        scores = self_validation_step(*scores, matrix.passes, 0.5, schedule)
        np.testing.assert_allclose(scores, expected, rtol=1e-12)
    scaled = self_validation(matrix, damping=0.5, iterations=2, schedule=schedule)
    np.testing.assert_allclose([scaled.solutions, scaled.tests], np.array(after_2) / after_2[0][0])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_rescaling_keeps_the_direction_of_the_unscaled_iteration(schedule):
    """With many more tests than solutions, two separate divisors would change it."""
    matrix = random_matrix(n=4, m=30)
    solutions, tests = np.ones(4), np.ones(30)
    for _ in range(3):
        solutions, tests = self_validation_step(solutions, tests, matrix.passes, 0.6, schedule)
    scaled = self_validation(matrix, damping=0.6, iterations=3, schedule=schedule)
    largest = max(solutions.max(), tests.max())
    np.testing.assert_allclose(scaled.solutions, solutions / largest)
    np.testing.assert_allclose(scaled.tests, tests / largest)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_self_validation_ends_at_the_principal_singular_vectors(schedule):
    matrix = random_matrix()
    left, _, right = np.linalg.svd(matrix.passes.astype(float))
    scores = self_validation(matrix, iterations=400, schedule=schedule)
    for found, expected in ((scores.solutions, left[:, 0]), (scores.tests, right[0])):
        np.testing.assert_allclose(found / np.linalg.norm(found), abs(expected), atol=1e-9)


@pytest.mark.parametrize("damping", [0.15, 0.95])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_damping_and_schedule_hardly_change_the_order(damping, schedule):
    """Mean rank correlation with the defaults; counting passed tests has 0.96."""
    correlations = []
    for seed in range(30):
        matrix = random_matrix(seed=seed)
        other = self_validation(matrix, damping=damping, schedule=schedule)
        correlations.append(spearmanr(self_validation(matrix).solutions, other.solutions).statistic)
    assert np.mean(correlations) > 0.99


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_long_iterations_on_large_matrices_do_not_overflow(schedule):
    """Unscaled, 200 x 200 ones reach 170 ** 200 in 100 sequential steps, beyond any float."""
    matrix = pass_matrix(np.ones((200, 200)))
    with np.errstate(all="raise"):
        scores = self_validation(matrix, iterations=100, schedule=schedule)
    assert max(scores.solutions.max(), scores.tests.max()) == 1
    assert scores.solutions.min() == scores.solutions.max() > 0.99


def test_counting_rankers():
    matrix = pass_matrix([[1, 1, 1], [1, 0, 1], [0, 0, 0]])
    assert passed_count(matrix).solutions.tolist() == [3, 2, 0]
    np.testing.assert_allclose(passed_count(matrix).tests, [1, 3 / 5, 1])
    assert all_tests(matrix).solutions.tolist() == [1, 0, 0]
    assert all_tests(matrix).tests.tolist() == [1, 1, 1]


def test_codet_by_hand():
    """Two solutions pass two tests, one passes three: the forms of |S| disagree on the best."""
    matrix = pass_matrix([[1, 1, 0], [1, 1, 1], [0, 0, 0], [1, 1, 0]])
    root = 2 * 2**0.5
    np.testing.assert_allclose(codet(matrix).solutions, [root, 3, 0, root])
    product = codet(matrix, size="product")
    assert product.solutions.tolist() == [4, 3, 0, 4]
    assert product.solutions.dtype == float
    np.testing.assert_allclose(product.tests, [1, 1, 3 / 11])


def test_b4_by_hand():
    """Sets {A, B}, {C} and {D}, each term written out from the formula in the docstring."""
    matrix = pass_matrix([[1, 1], [1, 1], [1, 0], [0, 0]])
    ab = betaln(2 + 10, 2 + 1) + betaln(2 + 10, 0 + 1) + betaln(1 + 1, 3 + 1) + betaln(1, 100)
    c = betaln(1 + 10, 3 + 1) + betaln(1 + 10, 1 + 1) + betaln(2 + 1, 1 + 1) + betaln(2 + 1, 101)
    d = betaln(1 + 10, 3 + 1) + betaln(0 + 10, 2 + 1) + betaln(1, 1) + betaln(5 + 1, 1 + 100)
    scores = b4(matrix, beta_0=100, alpha_xy=10)
    np.testing.assert_allclose(scores.solutions, [ab, ab, c, d])
    posterior = np.exp([ab, c, d]) / np.exp([ab, c, d]).sum()
    np.testing.assert_allclose(scores.tests, [posterior[0] + posterior[1], posterior[0]])


def test_b4_test_scores_do_not_overflow():
    passes = np.random.default_rng(0).random((200, 200)) < 0.5
    scores = b4(pass_matrix(passes))
    assert scores.solutions.max() < -1000
    np.testing.assert_array_equal(scores.tests > 0.5, passes[scores.solutions.argmax()])


def test_b4_defaults_are_those_of_the_measurements_in_the_docs():
    matrix = random_matrix()
    measured = b4(matrix, beta_0=1e4, alpha_xy=1e3).solutions
    np.testing.assert_array_equal(b4(matrix).solutions, measured)


def test_agreement_by_hand():
    """NO_VALUE agrees with nothing; the third column, without any value, does not count."""
    outputs = [[1, 1, -1, -1], [1, -1, -1, 2], [1, 1, -1, -1]]
    scores = agreement(pass_matrix([[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 1]], outputs))
    np.testing.assert_allclose(scores.solutions, [3 / 6, 2 / 6, 3 / 6], atol=1e-6)
    np.testing.assert_allclose(scores.tests, [3 / 8, 5 / 8, 0, 3 / 8], atol=1e-6)


def test_agreement_counts_a_program_once_however_often_it_was_sampled():
    """Three copies of one wrong program do not outvote two right ones that differ in text."""
    outputs = [[7], [7], [7], [1], [1]]
    scores = agreement(pass_matrix(np.ones((5, 1)), outputs, programs=[0, 0, 0, 1, 2])).solutions
    assert scores[3] == scores[4] > scores[0]


def test_agreement_counts_mutated_inputs_but_not_those_without_a_run():
    outputs = [[1, 5, 6], [1, 5, 6], [1, NOT_RUN, NOT_RUN], [1, 8, NO_VALUE]]
    scores = agreement(pass_matrix(np.ones((4, 1)), outputs)).solutions
    np.testing.assert_allclose(scores, [7 / 9, 7 / 9, 1, 5 / 9], atol=1e-5)


def test_agreement_breaks_ties_by_tests_passed():
    scores = agreement(pass_matrix([[1, 0], [1, 1], [0, 0]], [[4, 4]] * 3)).solutions
    assert scores[1] > scores[0] > scores[2]


def test_agreement_does_not_read_expected_values():
    outputs = [[0, 1], [0, 1], [2, 3]]
    right, wrong = pass_matrix(np.ones((3, 2)), outputs), pass_matrix(np.zeros((3, 2)), outputs)
    np.testing.assert_allclose(agreement(right).solutions, agreement(wrong).solutions, atol=2e-6)


def test_random_is_the_same_on_every_machine_and_differs_between_problems_and_seeds():
    def draw(task_id, **parameters):
        return random(pass_matrix(np.ones((2, 1)), task_id=task_id), **parameters).solutions

    # sha256sum of "0/0/HumanEval/0" and "0/1/HumanEval/0": the first 4 bytes.
    np.testing.assert_array_equal(draw("HumanEval/0"), [0x3C7414AE / 2**32, 0xBDFFABB1 / 2**32])
    assert set(draw("HumanEval/0")).isdisjoint(draw("HumanEval/1"))
    assert set(draw("HumanEval/0")).isdisjoint(draw("HumanEval/0", seed=1))


@pytest.mark.parametrize("name", [name for name in RANKERS if name != "random"])
def test_the_order_of_solutions_and_tests_does_not_matter(name):
    matrix, draw = random_matrix(), np.random.default_rng(1)
    rows, columns = draw.permutation(15), draw.permutation(12)
    mixed = pass_matrix(matrix.passes[rows][:, columns], matrix.outputs[rows][:, columns])
    before, after = RANKERS[name](matrix), RANKERS[name](mixed)
    assert len(set(before.solutions)) > 1
    np.testing.assert_allclose(after.solutions, before.solutions[rows], rtol=1e-9)
    np.testing.assert_allclose(after.tests, before.tests[columns], rtol=1e-9)


@pytest.mark.parametrize("name", [name for name in RANKERS if name not in ("random", "agreement")])
@pytest.mark.parametrize("order", ["C", "F"])
def test_solutions_with_the_same_passes_tie_to_the_last_bit(name, order):
    """Matrix products broke 7 % of such ties; the number of solutions tied at the top is a filter."""
    for seed in range(60):
        draw = np.random.default_rng(seed)
        passes = draw.random((draw.integers(10, 60), draw.integers(10, 300))) < 0.6
        passes[-3:] = passes[0]
        passes[:, -3:] = passes[:, [1]]
        scores = RANKERS[name](pass_matrix(np.array(passes, order=order)))
        assert len(set(scores.solutions[[0, -3, -2, -1]])) == 1
        assert len(set(scores.tests[[1, -3, -2, -1]])) == 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", RANKERS)
@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (4, 3), (3, 0)])
def test_degenerate_matrices_give_finite_scores(name, value, shape):
    for outputs in (np.full(shape, -1), np.zeros(shape, dtype=int)):
        with np.errstate(all="raise"):
            scores = RANKERS[name](pass_matrix(np.full(shape, value), outputs))
        assert (scores.solutions.shape, scores.tests.shape) == ((shape[0],), (shape[1],))
        assert scores.solutions.dtype == scores.tests.dtype == float
        assert np.isfinite(scores.solutions).all()
        assert np.isfinite(scores.tests).all()


def test_self_validation_without_any_pass_is_finite_at_full_damping():
    """All scores are 0 then, and 0 / 0 would be NaN."""
    scores = self_validation(pass_matrix(np.zeros((2, 2))), damping=1)
    assert scores.solutions.tolist() == scores.tests.tolist() == [0, 0]


@pytest.mark.parametrize("name", RANKERS)
def test_defaults_pass_the_check(name):
    signature = inspect.signature(RANKERS[name])
    defaults = {key: p.default for key, p in signature.parameters.items() if key != "matrix"}
    check_parameters(name, defaults)
    check_parameters(name, {})


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("self_validaton", {}, "ranker 'self_validaton'; did you mean 'self_validation'"),
        ("zzz", {}, r"ranker 'zzz' \(valid: self_validation, passed_count, "),
        ("self_validation", {"dampin": 0.5}, "'dampin'; did you mean 'damping'"),
        ("b4", {"beta": 10.0}, r"b4: 'beta'; did you mean 'beta_0'.*\(valid: beta_0, alpha_xy\)"),
        ("all_tests", {"seed": 1}, r"all_tests: 'seed' \(valid: none\)"),
        ("passed_count", {"matrix": 1}, "unknown parameter"),
        ("self_validation", {"schedule": "parallel"}, "simultaneous or sequential.*'parallel'"),
        ("self_validation", {"damping": 1.5}, "damping must lie in 0..1"),
        ("self_validation", {"iterations": 0}, "at least 1"),
        ("codet", {"size": "square"}, "sqrt or product.*'square'"),
        ("b4", {"alpha_xy": 0}, "above 0"),
        ("b4", {"beta_0": "1e4"}, "ranker b4 cannot use {'beta_0': '1e4'}"),
    ],
)
def test_errors_name_the_wrong_ranker_parameter_or_value(name, parameters, message):
    with pytest.raises(ValueError, match=message):
        check_parameters(name, parameters)
