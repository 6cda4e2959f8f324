"""Selection of correctness pairs on problems small enough to judge by eye."""

from codedpo_plugin.pairing.selection import SELECTIONS, UNSURE
from codedpo_plugin.ranking.pass_matrix import NO_VALUE
from codedpo_plugin.recipe import Pairs
from helpers.matrices import problem

AGREED = [[0, 0, 0, 0]] * 8 + [[0, 0, 0, 5], [9, 8, 7, 6], [NO_VALUE] * 4]


def choose(selected, name="near_miss", **settings):
    return SELECTIONS[name](selected, Pairs(**settings))


def test_a_hard_negative_is_rejected_and_not_the_worst_at_equal_confidence():
    outputs = [*AGREED[:8], [0, 8, 7, 6], [NO_VALUE] * 4]
    (choice, *_), why = choose(problem(outputs, [0, 0, 0, 0]), per_problem=1)
    assert (choice.chosen < 8, choice.rejected, why) == (True, 8, None)
    (worst,), _ = choose(problem(outputs, [0, 0, 0, 0]), "worst")
    assert worst.rejected == 9


def test_confidence_grows_with_the_number_that_agree():
    strong = choose(problem([[0] * 4] * 9 + [[1, 2, 3, 4]], [0, 0, 0, 1]))[0][0]
    outputs = [[0] * 4] * 4 + [[k, k + 1, k + 2, k + 3] for k in range(10, 60, 10)]
    weak = choose(problem(outputs, [0, 0, 0, 1]), min_confidence=0)[0][0]
    assert weak.confidence < 0.5 < strong.confidence


def test_no_pair_where_no_two_solutions_agree():
    outputs = [[k, k + 100, k + 200] for k in range(10)]
    assert choose(problem(outputs, [0, 100, 200])) == ([], UNSURE)


def test_no_pair_where_tests_favour_a_competing_cluster():
    """Six share a wrong behaviour, four the right one, and more tests expect the right one."""
    clusters = [[1, 1, 1, 1, 1]] * 6 + [[0, 0, 0, 0, 0]] * 4
    assert choose(problem(clusters, [0, 0, 0, 0, 1])) == ([], UNSURE)
    alone = [[1, 1, 1, 1, 1]] * 9 + [[0, 0, 0, 0, 0]]
    assert choose(problem(alone, [1, 1, 1, 1, 0]))[0]


def test_pairs_of_one_problem_differ_in_behaviour_and_in_text():
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
