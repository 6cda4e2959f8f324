"""A graded run of three tasks, made up."""

import json
from pathlib import Path
from typing import Any

from codedpo_eval.benchmarks.registry import Benchmark, Task
from codedpo_eval.harnesses import export

IDS = ["HumanEval/0", "HumanEval/2", "HumanEval/10"]


def humaneval(name: str = "humaneval+", ids: list[str] = IDS) -> Benchmark:
    """A benchmark of evalplus's kind; its file has the tasks in another order."""
    tasks = []
    for task_id in reversed(ids):
        row = {
            "task_id": task_id,
            "prompt": "def f(x):\n",
            "entry_point": "f",
            "canonical_solution": "    return x\n",
            "test": "def check(candidate):\n    assert candidate(1) == 1\n",
            "base_input": [[1], [2]],
            "plus_input": [[3], [4], [5]],
        }
        tasks.append(Task(task_id, row["prompt"], "f", None, json.dumps(row)))
    return Benchmark(name, "evalplus", Path("x"), "sha", "md5", "HumanEval+ v0", tuple(tasks))


def graded(tmp_path: Path, problems: Benchmark | None = None, **other: Any) -> export.Graded:
    """Two samples of two tasks, none of the third."""
    rows = [
        sample("HumanEval/0", 0, "a"),
        sample("HumanEval/0", 1, "b", base="timeout", plus="fail", failed_tests=[1]),
        sample("HumanEval/10", 0, "c", plus="crashed", failed_tests=[3, 4]),
        sample("HumanEval/10", 1, "d", base="error", plus="fail", failed_tests=[0, 2]),
    ]
    report = {
        "made": "2026-01-02T03:04:05+00:00",
        "benchmark": {"name": "humaneval+", "tasks": 3, "version": None, "md5": "md5"},
        "versions": {"codedpo": "1"},
        "graded_tasks": 3,
        "ungraded": {},
        "pass_at_k": {"base": {"pass@1": (0.5, 0.4, 0.6)}, "plus": {"pass@1": (0.25, 0.1, 0.4)}},
        "generation": {"model": "org/name", "temperature": 0.2, "n": 2, "style": "chat"},
    }
    return export.Graded(
        tmp_path, report | other, rows, problems or humaneval(), tmp_path / "out", "org/name"
    )


def sample(task_id: str, number: int, solution: str, **verdict: Any) -> dict[str, Any]:
    good = {"base": "pass", "plus": "pass", "failed_tests": []}
    return {"task_id": task_id, "sample": number, "solution": solution} | good | verdict
