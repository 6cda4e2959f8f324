"""Runs of `codedpo eval` on a small benchmark of one's own."""

import json
from pathlib import Path
from typing import Any

import pytest

from codedpo_eval.grading import grade
from codedpo_plugin.cli import main
from helpers.candidates import write_jsonl

TASKS = [
    {
        "task_id": "twice",
        "prompt": "Return a list that holds each item twice.",
        "entry_point": "twice",
        "tests": ["assert twice([1]) == [1, 1]", "assert twice([]) == []"],
    },
    {
        "task_id": "sign",
        "prompt": "Return the sign of a number.",
        "entry_point": "sign",
        "tests": ["assert sign(3) == 1", "assert sign(-3) == -1", "assert sign(0) == 0"],
    },
]
TWICE = "def twice(items):\n    return [x for x in items for _ in range(2)]"
SIGN = "def sign(n):\n    return (n > 0) - (n < 0)"
RIGHT = [{"task_id": "twice", "solution": TWICE}, {"task_id": "sign", "solution": SIGN}]


def sample(task_id: str, solution: str, **more: Any) -> dict[str, Any]:
    """A row of samples."""
    return {"task_id": task_id, "solution": solution, **more}


def eval_command(*arguments: str) -> None:
    """`codedpo eval ...`, which has to end with status 0."""
    with pytest.raises(SystemExit) as ended:
        main(["eval", *arguments])
    assert not ended.value.code


def graded(own: Path, rows: list[dict[str, Any]], *options: str) -> dict[str, Any]:
    """Grade rows in the folder `run` beside the benchmark; the report."""
    given, out = write_jsonl(own.with_name("given.jsonl"), rows), own.with_name("run")
    eval_command("grade", str(own), "--samples", str(given), "--out", str(out), *options)
    return json.loads((out / "report.json").read_text())


def verdicts(own: Path) -> list[dict[str, Any]]:
    """The verdicts of that run."""
    return list(grade.read(own.with_name("run") / grade.FILE))


def evalplus_task(
    name: str, number: int, code: str, base: list[Any], plus: list[Any]
) -> dict[str, Any]:
    """A task in the columns of HumanEval+."""
    return {
        "task_id": f"HumanEval/{number}", "prompt": f"def {name}(x):\n", "entry_point": name,
        "canonical_solution": code, "base_input": base, "plus_input": plus, "atol": 0,
    }  # fmt: skip
