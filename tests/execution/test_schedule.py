"""Which cells of a pass matrix are run again with the full CPU limit."""

import sys
from collections.abc import Iterator
from typing import Any, cast

import pytest

from codedpo_plugin.execution.execute import execute_problem
from codedpo_plugin.execution.schedule import run_cells
from codedpo_plugin.parsing.assertions import split_test
from codedpo_plugin.sandbox.client import Limits, Reply, Sandbox

TESTS = [split_test(f"assert f({n}) == 1", "f") for n in range(4)]


class Timed:
    """A sandbox in which program p needs `seconds[p][n]` to pass test n; below 0 it fails it."""

    limits = Limits(seconds=1.0)

    def __init__(self, **seconds: list[float]) -> None:
        self.seconds = seconds

    def run_all(self, programs: list[str], cells: list[Any], limit: float) -> list[list[Reply]]:
        return [self._line(program, cells, limit) for program in programs]

    def _line(self, program: str, cells: list[Any], limit: float) -> list[Reply]:
        line: list[Reply] = []
        for cell in cells:
            needed = self.seconds[program][int(cell["calls"][0][2])]
            if [reply.outcome for reply in line].count("timeout") == self.limits.max_timeouts:
                line.append(Reply("not_run"))
            elif needed > limit:
                line.append(Reply("timeout", limit))
            else:
                line.append(Reply("ended", needed, None, {"values": ["0" if needed < 0 else "1"]}))
        return line


def outcomes(**seconds: list[float]) -> list[str]:
    """A letter per cell (passed, failed, timeout, not run), a text per program."""
    sandbox = cast(Sandbox, Timed(**seconds))
    verdicts = run_cells(list(seconds), TESTS, sandbox)
    return ["".join(verdict.outcome[0] for verdict in line) for line in verdicts]


FAST, SLOW, NEVER, WRONG = 0.01, 0.5, 9.0, -1.0


def test_a_slow_cell_of_a_program_that_may_be_best_gets_the_full_limit() -> None:
    assert outcomes(p=[FAST, FAST, FAST, SLOW], q=[FAST] * 4) == ["pppp", "pppp"]


def test_a_program_that_cannot_be_best_is_not_run_again() -> None:
    assert outcomes(p=[FAST] * 4, q=[WRONG, SLOW, FAST, FAST]) == ["pppp", "ftpp"]


def test_a_program_that_hangs_with_the_full_limit_too_is_left() -> None:
    assert outcomes(p=[FAST] * 4, q=[NEVER, NEVER, SLOW, SLOW]) == ["pppp", "ttnn"]


def test_a_test_on_which_all_hang_costs_no_program_its_other_tests() -> None:
    assert outcomes(p=[NEVER, NEVER, FAST, FAST], q=[NEVER, NEVER, FAST, FAST]) == ["ttpp", "ttpp"]


def test_a_test_that_is_heavy_for_all_gets_the_full_limit() -> None:
    assert outcomes(p=[SLOW, FAST, FAST, FAST], q=[SLOW, FAST, FAST, FAST]) == ["pppp", "pppp"]


def test_no_programs_have_no_verdicts() -> None:
    assert outcomes() == []


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Limits(seconds=0.3, memory_mb=512)) as sandbox:
        yield sandbox


@pytest.mark.skipif(sys.platform != "linux", reason="only rlimits hold off Linux")
def test_heavy_tests_are_run_to_their_end_in_a_real_sandbox(sandbox: Sandbox) -> None:
    heavy = "import time\ndef f(x):\n    end = time.thread_time() + 0.1\n    while x and time.thread_time() < end: pass\n    return x"
    row = {
        "task_id": "t",
        "entry_point": "f",
        "solutions": [heavy, heavy + "\n", heavy + "\n\n"],
        "tests": ["assert f(1) == 1", "assert f(2) == 2", "assert f(0) == 0"],
    }
    assert execute_problem(row, sandbox, 100_000)["outcomes"] == [["passed"] * 3] * 3
