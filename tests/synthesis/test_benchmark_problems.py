"""Problems of benchmarks, in the forms of their files."""

from pathlib import Path

import pytest

from codedpo_plugin.errors import InputError
from codedpo_plugin.synthesis import benchmark_problems
from helpers.benchmark_rows import HUMANEVAL, LIVE, MBPP
from helpers.candidates import write_jsonl


def test_benchmarks_in_their_own_formats(tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "some.jsonl", [HUMANEVAL, MBPP, LIVE, {"prompt": "Words alone."}])
    first, second, third, fourth = benchmark_problems.load(str(file))
    assert (first.entry_point, first.tests[0], len(first.tests)) == (
        "candidate",
        "assert candidate(0, 1) == 1",
        3,
    )
    assert (second.entry_point, second.tests) == ("count_vowels", tuple(MBPP["test_list"]))  # type: ignore[arg-type]
    assert third.tests == ("assert turn([1, 2], 3) == [2, 1]",)
    assert (fourth.entry_point, fourth.tests) == (None, ())
    with pytest.raises(InputError, match="known by name: humaneval, mbpp, ds1000, livecodebench"):
        benchmark_problems.load("humanevil")


def test_references_of_benchmarks_define_what_the_tests_call() -> None:
    rows = [
        HUMANEVAL | {"canonical_solution": "    return x + y\n"},
        MBPP,
        {"prompt": '"""Add."""\n', "entry_point": "add", "canonical_solution": "def add(a, b):\n    return a + b",
         "assertion": "assert add(1, 2) == 3"},
    ]  # fmt: skip
    for row in rows:
        problem = benchmark_problems.problem_of("b", 0, row)
        assert problem
        assert problem.reference
        space: dict[str, object] = {}
        exec(problem.reference, space)
        for test in problem.tests:
            exec(test, space)
