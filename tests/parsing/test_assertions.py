"""Splitting tests into call and assertion."""

import pytest

from codedpo_plugin.parsing.assertions import judge_here, split_test
from codedpo_plugin.sandbox.encoding import encode


@pytest.mark.parametrize(
    ("source", "calls", "assertion"),
    [
        ("assert f([1]) == 3", ("f([1])",), "_r0 == 3"),
        ("assert 3 == f([1]), 'why'", ("f([1])",), "3 == _r0"),
        ("assert f(f(2)) is None", ("f(f(2))",), "_r0 is None"),
        ("assert f(1) == f(2)", ("f(1)", "f(2)"), "_r0 == _r1"),
        ("assert not f('a')", ("f('a')",), "not _r0"),
        ("assert abs(f(2.5) - 1) < 1e-6", ("f(2.5)",), "abs(_r0 - 1) < 1e-06"),
        (
            "assert sorted(f(x for x in 'ab')) == ['a']",
            ("f((x for x in 'ab'))",),
            "sorted(_r0) == ['a']",
        ),
    ],
)
def test_splits_call_from_assertion(source: str, calls: tuple[str, ...], assertion: str) -> None:
    test = split_test(source, "f")
    assert (test.calls, test.assertion) == (calls, assertion)


@pytest.mark.parametrize(
    "source",
    [
        "x = f(1)\nassert x == 2",
        "assert f(1) or f(2)",
        "assert all(f(n) for n in range(3))",
        "assert (lambda: f(1))() == 2",
        "assert g(1) == 2",
        "assert (f if 1 else 2)",
        "assert f(y := 2) == y",
        "assert f(1) ==",
        "assert obj.f(1) == 2",
    ],
)
def test_keeps_whole_what_cannot_be_split_safely(source: str) -> None:
    assert not split_test(source, "f").judged_outside


def test_modules_that_an_assertion_needs_are_named() -> None:
    assert split_test("assert math.isclose(f(1), 2)", "f").names == ("math",)


def test_simple_assertions_are_judged_without_a_process() -> None:
    assert judge_here(split_test("assert f() == {1: (2,)}", "f"), encode({1: (2,)})) is True
    assert judge_here(split_test("assert (1, 2) == f()", "f"), encode([1, 2])) is False
    assert judge_here(split_test("assert f() is None", "f"), encode(None)) is True
    assert judge_here(split_test("assert f() is True", "f"), encode(1)) is False
    assert judge_here(split_test("assert f() != 2", "f"), encode(3)) is True
    assert judge_here(split_test("assert not f()", "f"), encode([])) is True
    assert judge_here(split_test("assert f()", "f"), encode({})) is False
    assert judge_here(split_test("assert f() == 'a' * 3", "f"), encode("aaa")) is None
    assert judge_here(split_test("assert f() is f(1)", "f"), encode(1)) is None


def test_names_that_only_the_solution_could_define_are_foreign() -> None:
    assert split_test("assert ____ == f(1)", "f").foreign == ("____",)
    assert split_test("assert ____", "f").foreign == ("____",)
    assert split_test("assert f(1) == 2 or ____", "f").foreign == ()
