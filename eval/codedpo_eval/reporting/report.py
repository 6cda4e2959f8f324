"""A run's figures, as plain values: `RUN/report.json`."""

import json
import platform
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from codedpo_eval.benchmarks.registry import Benchmark, kind_module
from codedpo_eval.generation import samples as samples_file
from codedpo_eval.generation.samples import Samples
from codedpo_eval.grading import grade
from codedpo_eval.metrics import pass_at
from codedpo_eval.verdict import PASS, UNGRADED, GradeSettings
from codedpo_plugin import __version__
from codedpo_plugin.errors import InputError
from codedpo_plugin.run_folder.shards import Row, key_of
from codedpo_plugin.statistics import Interval

FILE = "report.json"
Report = dict[str, Any]


def summarise(
    benchmark: Benchmark,
    found: Samples,
    verdicts: list[Row],
    settings: GradeSettings,
    self_test: dict[str, Any] | None = None,
    grader: str = "codedpo",
) -> Report:
    """All figures of a run, as plain values.

    Args:
        found: samples of the benchmark.
        verdicts: rows of `grade.grade`.
        self_test: of `reference_check.known`: which reference solutions pass.
        grader: name of what graded.

    Raises:
        InputError: no task could be graded.
    """
    judged = benchmark.test_sets
    ungraded = {row["task_id"]: row["error"] for row in verdicts if row["base"] == UNGRADED}
    graded = tuple(task for task in benchmark.tasks if task.task_id not in ungraded)
    if not graded:
        raise InputError(
            f"{benchmark.name}: no task can be graded here: {Counter(ungraded.values())}"
        )
    scored = replace(benchmark, tasks=graded)
    return {
        "benchmark": benchmark.facts() | {"source": benchmark.source},
        "graded_tasks": len(graded),
        "ungraded": dict(Counter(ungraded.values()).most_common()),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"codedpo": __version__, "python": platform.python_version()},
        "machine": platform.platform(),
        "grader": grader,
        "settings": settings.plain(),
        "samples": _of_samples(found),
        "pass_at_k": {kind: _pass_at_k(scored, verdicts, kind) for kind in judged},
        "statuses": {kind: dict(Counter(row[kind] for row in verdicts)) for kind in judged},
        "retried": sum(row["retried"] for row in verdicts),
        "unsealed": sum(not row["sealed"] for row in verdicts),
        "cpu_seconds": sum(row["seconds"] for row in verdicts),
        "subsets": _subsets(scored, verdicts, self_test),
        "self_test": self_test,
    }


def _of_samples(found: Samples) -> dict[str, Any]:
    return {
        "rows": len(found.rows),
        "hash": _hash(found.rows),
        "missing_tasks": found.missing,
        "unknown_tasks": found.unknown,
        "notices": found.notices,
    }


def _hash(rows: list[Row]) -> str:
    """Hash of samples, by which a change after grading is noticed."""
    return key_of([(row["task_id"], row["solution"]) for row in rows])


def _pass_at_k(
    benchmark: Benchmark, verdicts: list[Row], kind: str, tasks: set[str] | None = None
) -> dict[str, Interval]:
    """pass@k over tasks (some, or all) by one kind of verdict."""
    number = Counter(row["task_id"] for row in verdicts)
    right = Counter(row["task_id"] for row in verdicts if row[kind] == PASS)
    names = [t.task_id for t in benchmark.tasks if tasks is None or t.task_id in tasks]
    least = min((number[name] for name in names if number[name]), default=1)
    return pass_at([(number[name], right[name]) for name in names], least)


def _subsets(
    benchmark: Benchmark, verdicts: list[Row], self_test: dict[str, Any] | None
) -> dict[str, dict[str, Any]]:
    """pass@1 by properties of tasks that the kind of benchmark defines, such as the library, and
    how many of their references pass.
    """
    subsets = getattr(kind_module(benchmark.kind), "subsets", None)
    if subsets is None:
        return {}
    groups: dict[str, dict[str, set[str]]] = {}
    for task in benchmark.tasks:
        for what, value in subsets(task).items():
            groups.setdefault(what, {}).setdefault(str(value), set()).add(task.task_id)
    return {
        what: {
            value: {"tasks": len(tasks)}
            | ({"references": len(tasks - self_test["failed"].keys())} if self_test else {})
            | _pass_at_k(benchmark, verdicts, benchmark.test_sets[-1], tasks)
            for value, tasks in sorted(values.items())
        }
        for what, values in groups.items()
    }


def load(run: Path) -> Report:
    """The report of a run.

    Raises:
        InputError: the folder has none.
    """
    try:
        report: Report = json.loads((run / FILE).read_text())
    except FileNotFoundError:
        raise InputError(
            f"{run}: no {FILE}; create it with `codedpo eval grade BENCHMARK --samples FILE "
            f"--out {run}`"
        ) from None
    return report


def load_rows(run: Path) -> list[Row]:
    """Samples of a graded run with their verdicts, in order.

    Raises:
        InputError: samples or verdicts are missing, or the samples have changed since.
    """
    report = load(run)
    rows = list(_lines(run / samples_file.FILE))
    verdicts = list(_lines(run / grade.FILE))
    known = {(row["task_id"], row["sample"]): row for row in verdicts}
    if report["samples"]["hash"] != _hash(rows):
        raise InputError(f"{run}: samples have changed since they were graded; grade them again")
    return [row | known[row["task_id"], row["sample"]] for row in rows]


def _lines(path: Path) -> list[Row]:
    try:
        return [json.loads(line) for line in path.read_text().splitlines()]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; grade the run again") from None
