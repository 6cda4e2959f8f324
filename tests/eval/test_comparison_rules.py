"""When a returned value is right: evalplus's rules."""

from typing import Any

from codedpo_eval.benchmarks.evalplus.comparison_rules import agrees, rules_of
from codedpo_plugin.sandbox.encoding import encode


def held(value: Any, expected: Any, family: str = "Mbpp", name: str = "f", **more: Any) -> bool:
    texts = [encode(one) for one in more.get("before", [])] + [encode(expected)]
    rule = rules_of(family, name, more.get("atol", 0), texts)[-1]
    return agrees(rule, more.get("arguments", []), encode(value), texts[-1])


def test_values_agree_by_the_rules_of_evalplus() -> None:
    assert held(3.0000000001, 3.0)  # a float: with tolerance
    assert not held(3.0000000001, 3)
    assert held([1.0, 2.0 + 1e-9], [1.0, 2.0])
    assert not held((1.0, 2.0 + 1e-9), [1.0, 2.0])  # of another type: exactly, or not at all
    assert held(1.0, 1)
    assert held(True, 1)
    assert not held([1, 2.0 + 1e-9], [1, 2.0])  # not all floats ...
    assert held([1, 2.0 + 1e-9], [1, 2.0], before=[0.5])  # ... but after one that was a float
    assert not held([1.0], [1.0, 2.0])
    assert not held("ab", "abc", before=[0.5])


def test_special_rules_of_tasks() -> None:
    assert held([2, 1, 1], [1, 2], name="similar_elements")
    assert not held([2], [1, 2], name="similar_elements")
    assert held(5, 3, name="are_equivalent")
    assert held(0, 9, name="sum_div")
    assert not held(1, 9, name="sum_div")
    assert held("found it", True, name="check_str")
    assert not held(None, True, name="check_str")
    assert not held(False, True, name="check_str")
    assert held(35, 21, name="surface_Area", arguments=[3, 4])
    assert held(7, 0, name="digit_distance_nums", arguments=[23, 56], before=[]) is False
    assert held(6, 0, name="digit_distance_nums", arguments=[23, 56])
    zero = {"family": "HumanEval", "name": "find_zero", "atol": 1e-4}
    assert held(1.0, 7.0, arguments=[[-1, 1]], **zero)
    assert not held(1.1, 1.0, arguments=[[-1, 1]], **zero)
