"""Assertions are judged outside the process that ran the solution."""

import sys
from collections.abc import Iterator

import pytest

from codedpo_plugin.execution.execute import execute_problem
from codedpo_plugin.sandbox.client import Limits, Sandbox

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only rlimits hold off Linux")


HONEST = "def f(x):\n    return x + 1\n"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Limits(seconds=0.3, memory_mb=512)) as sandbox:
        yield sandbox


def outcome(sandbox: Sandbox, solution: str, test: str = "assert f(1) == 2") -> str:
    """The outcome of one cell."""
    row = {"task_id": "t", "entry_point": "f", "solutions": [solution], "tests": [test]}
    result: str = execute_problem(row, sandbox, 100_000)["outcomes"][0][0]
    return result


def test_assertions_are_judged_where_the_solution_is_not(sandbox: Sandbox) -> None:
    spoiler = (
        "def sorted(x): return [2]\nimport builtins\nbuiltins.sorted = sorted\ndef f(x): return [9]"
    )
    assert outcome(sandbox, spoiler, "assert sorted(f(1)) == [2]") == "failed"
    assert outcome(sandbox, "def f(x): return [2]", "assert sorted(f(1)) == [2]") == "passed"


def test_a_module_that_only_the_assertion_uses_must_be_imported(sandbox: Sandbox) -> None:
    test = "assert math.isclose(f(1), 2.0)"
    assert outcome(sandbox, HONEST, test) == "error"
    assert outcome(sandbox, f"import math\n{HONEST}", test) == "passed"


def test_an_assertion_on_a_name_of_the_solution_is_judged_with_it(sandbox: Sandbox) -> None:
    test = "assert f(1) == LIMIT"
    assert outcome(sandbox, HONEST, test) == "error"
    assert outcome(sandbox, f"LIMIT = 2\n{HONEST}", test) == "passed"
    assert outcome(sandbox, f"LIMIT = 3\n{HONEST}", test) == "failed"
