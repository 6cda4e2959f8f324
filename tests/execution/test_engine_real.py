"""On real samples, the engine says what a plain interpreter says, with a worker per cell or shared."""

import ast
import random
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

import pytest

from codedpo_plugin.execution.execute import execute_problem
from codedpo_plugin.parsing.programs import may_vary
from codedpo_plugin.sandbox.client import Limits, Sandbox
from helpers.plain_python import plain_outcome
from helpers.real_data import answers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only rlimits hold off Linux")

CELLS = 120
NAMES = ["codegen-16b", "qwen-0.5b", "modern"]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Limits(seconds=1.0)) as sandbox:
        yield sandbox


def drawn(name: str) -> list[dict[str, Any]]:
    """Random cells, each as a problem with one solution and one test."""
    rng = random.Random(0)
    with_tests = [row for row in answers(name) if row["solutions"] and row["tests"]]
    return [
        row | {"solutions": [rng.choice(row["solutions"])], "tests": [rng.choice(row["tests"])]}
        for row in rng.choices(with_tests, k=CELLS)
    ]


def outcome(sandbox: Sandbox, row: dict[str, Any]) -> str:
    return str(execute_problem(row, sandbox, 100_000)["outcomes"][0][0])


def raised_by_message(test: str) -> str:
    """A false assertion is `failed`, unless its message, which Python evaluates first, raises."""
    message = ast.parse(test).body[0].msg if test.startswith("assert") else None
    return "error" if message else "failed"


@pytest.mark.parametrize("name", NAMES)
def test_outcomes_are_those_of_a_new_interpreter(sandbox: Sandbox, name: str) -> None:
    rows = drawn(name)
    cells = [{"solution": row["solutions"][0], "test": row["tests"][0]} for row in rows]
    with ThreadPoolExecutor(2) as pool:
        plain = pool.map(lambda cell: plain_outcome(cell, 4.0), cells)
        found = [outcome(sandbox, row) for row in rows]
        different = [
            (row["task_id"], cell["test"], mine, theirs)
            for row, cell, mine, theirs in zip(rows, cells, found, plain, strict=True)
            if mine != theirs
            and not (mine == "failed" and theirs == raised_by_message(cell["test"]))
            and not may_vary(cell["solution"])  # random numbers: two runs may differ
        ]
    assert not different
    assert {"passed", "failed", "error"} <= set(found)


@pytest.mark.parametrize("name", NAMES)
def test_a_shared_worker_gives_the_outcomes_of_a_worker_per_cell(
    sandbox: Sandbox, name: str
) -> None:
    """Except for cells near the CPU limit, which one of the two may exceed."""
    rng = random.Random(0)
    compared = 0
    with Sandbox(Limits(share="nothing")) as alone:
        for row in rng.choices(answers(name), k=CELLS // 5):
            row = row | {"solutions": row["solutions"][:3], "tests": row["tests"][:5]}
            both = [execute_problem(row, one, 100_000)["outcomes"] for one in (sandbox, alone)]
            cells = zip(*(chain.from_iterable(outcomes) for outcomes in both), strict=True)
            ended = [cell for cell in cells if not {"timeout", "not_run"} & set(cell)]
            assert not [cell for cell in ended if cell[0] != cell[1]]
            compared += len(ended)
    assert compared > CELLS
