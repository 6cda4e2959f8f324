"""Self-test: the benchmark's own reference solutions, graded like samples.

A task whose reference fails cannot be graded on this machine. The result is kept in the cache
folder, and reports of the same benchmark file and settings show it.
"""

from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console

from codedpo_eval.benchmarks.files import cache_folder
from codedpo_eval.benchmarks.registry import Benchmark
from codedpo_eval.generation import samples
from codedpo_eval.grading import grade
from codedpo_eval.verdict import PASS, UNGRADED, GradeSettings
from codedpo_plugin.errors import InputError
from codedpo_plugin.run_folder.shards import key_of


def run(
    benchmark: Benchmark, settings: GradeSettings, workers: int | None, console: Console
) -> dict[str, Any]:
    """Grade the reference solutions; verdicts are kept, so a second run is quick.

    Returns:
        `tasks` (number with a reference that can be graded here), `passed` (number), `failed`
        (task id -> status and error), `ungraded` (reason -> number of tasks).

    Raises:
        InputError: the benchmark has no reference solutions.
    """
    rows = [
        {"task_id": task.task_id, "sample": 0, "solution": task.reference}
        for task in benchmark.tasks
        if task.reference
    ]
    if not rows:
        raise InputError(f"{benchmark.name}: its tasks have no reference solutions")
    folder = _folder(benchmark, settings)
    samples.write(folder / samples.FILE, rows)
    grade.grade(benchmark, folder, settings, workers, console)
    found = known(benchmark, settings)
    assert found
    return found


def known(benchmark: Benchmark, settings: GradeSettings) -> dict[str, Any] | None:
    """The last self-test of this benchmark with these settings, as `run` returns it; None: none."""
    rows = list(grade.read(_folder(benchmark, settings) / grade.FILE))
    ungraded = Counter(row["error"] for row in rows if row["base"] == UNGRADED)
    rows = [row for row in rows if row["base"] != UNGRADED]
    last = benchmark.test_sets[-1]
    failed = {row["task_id"]: f"{row[last]}: {row['error']}" for row in rows if row[last] != PASS}
    if not rows:
        return None
    return {
        "tasks": len(rows),
        "passed": len(rows) - len(failed),
        "failed": failed,
        "ungraded": dict(ungraded.most_common()),
    }


def _folder(benchmark: Benchmark, settings: GradeSettings) -> Path:
    key = key_of(benchmark.name, benchmark.sha256, settings.plain())
    return cache_folder() / "self-test" / key
