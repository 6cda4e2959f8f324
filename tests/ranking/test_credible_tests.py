"""The tests that are worth timing."""

from codedpo_plugin.ranking.credible_tests import discriminative_tests


def test_tests_that_all_solutions_pass_are_not_discriminative():
    row = {"outcomes": [["passed", "passed", "failed"], ["passed", "failed", "failed"]]}
    assert discriminative_tests(row, [0, 1]) == [1]
    assert discriminative_tests(row, [0]) == [0]
