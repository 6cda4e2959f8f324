"""Tests from inputs: the value that most solutions return."""

from codedpo_plugin.sandbox.client import Sandbox
from codedpo_plugin.synthesis import majority_vote
from codedpo_plugin.synthesis.decontamination import LIMITS

ONE = "def f(x):\n    return [x, 1]"
TWO = "def f(x):\n    return [x, 2] if x else [0, 1]"
NOISY = "def f(x):\n    return object() if x else 1 / 0"


def test_the_most_frequent_value_is_expected_and_ties_give_no_test() -> None:
    with Sandbox(LIMITS) as sandbox:
        assert majority_vote.tests_by_vote([ONE, ONE, TWO], ["f(0)", "f(3)"], sandbox) == [
            "assert f(0) == [0, 1]",
            "assert f(3) == [3, 1]",
        ]
        assert majority_vote.tests_by_vote([ONE, ONE, TWO, TWO], ["f(3)"], sandbox) == []


def test_one_vote_is_not_enough_and_what_no_literal_equals_has_none() -> None:
    with Sandbox(LIMITS) as sandbox:
        assert majority_vote.tests_by_vote([ONE, NOISY], ["f(0)", "f(3)"], sandbox) == []
