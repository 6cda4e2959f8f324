"""Self-test: the benchmark's own reference solutions, graded like samples.

What fails here cannot be measured on this machine, whatever a model writes. The result is kept
with the ground truth, and reports of this benchmark file with the same settings show it.
"""

from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console

from codedpo_eval.benchmarks.registry import Benchmark, cache_folder
from codedpo_eval.generation import samples
from codedpo_eval.grading import grade
from codedpo_eval.verdict import PASS, UNGRADED, GradeSettings
from codedpo_plugin.errors import InputError
from codedpo_plugin.run_folder.shards import key_of


def run(
    benchmark: Benchmark,
    data: Path | None,
    settings: GradeSettings,
    workers: int | None,
    console: Console,
) -> dict[str, Any]:
    """Grade the reference solutions; verdicts are kept, so a second run is quick.

    Returns:
        `tasks` (with a reference, that can be graded here), `passed` (how many), `failed` (task id
        -> what happened), `ungraded` (why not -> tasks).

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
    name = benchmark.name if benchmark.kind != "own" else str(benchmark.path)
    grade.grade(grade.Job(name, data, folder, settings), workers, console)
    found = known(benchmark, settings)
    assert found
    return found


def known(benchmark: Benchmark, settings: GradeSettings) -> dict[str, Any] | None:
    """What the last self-test of this benchmark with these settings found; None: there was none."""
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
