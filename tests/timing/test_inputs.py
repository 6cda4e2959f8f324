"""Larger arguments for the calls that are timed."""

from codedpo_plugin.sandbox.client import Limits, Sandbox
from codedpo_plugin.timing.inputs import enlarge


def test_arguments_grow_only_where_all_solutions_agree() -> None:
    right = "def f(x):\n    return sum(x)"
    differs = "def f(x):\n    return sum(x) if len(x) < 10 else 0"
    with Sandbox(Limits(seconds=0.5)) as sandbox:
        assert enlarge(["f([1, 2])"], [right, right + "\n"], sandbox) == ["f([1, 2] * 20)"]
        assert enlarge(["f([1, 2])"], [right, differs], sandbox) == ["f([1, 2])"]
