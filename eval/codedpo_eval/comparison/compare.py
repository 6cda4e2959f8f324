"""Compare two runs on one benchmark: which solves more, and whose right programs are faster."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from codedpo_eval.benchmarks.registry import Benchmark, kind_module
from codedpo_eval.comparison import compare_page
from codedpo_eval.comparison import speedup as speedups
from codedpo_eval.comparison.compare_page import SIDES
from codedpo_eval.comparison.speedup import Protocol, Sides
from codedpo_eval.comparison.speedup_summary import summarise
from codedpo_eval.reporting import report as reports
from codedpo_eval.reporting.report import Report
from codedpo_eval.verdict import PASS, UNGRADED
from codedpo_plugin.errors import InputError
from codedpo_plugin.run_folder.shards import Row, replacing
from codedpo_plugin.statistics import bootstrap

FILE = "compare.json"


def compare(
    before: Path,
    after: Path,
    benchmark: Benchmark,
    out: Path,
    protocol: Protocol | None,
    console: Console,
) -> dict[str, Any]:
    """Compare graded runs, and write `compare.json`, `.md` and `.html` into a folder.

    Args:
        before: folder of a graded run, of the model before training.
        after: that of the model after training.
        benchmark: what both were graded on.
        out: the folder to write into.
        protocol: how speedup is measured; None: it is not.
        console: shows progress and the tables.

    Returns:
        The contents of `compare.json`, without the rows of problems.

    Raises:
        InputError: the runs were graded on different benchmark files, or their samples have
            changed since.
    """
    runs = [reports.load(run) for run in (before, after)]
    check(runs, (before, after), benchmark)
    rows = (reports.load_rows(before), reports.load_rows(after))
    summary: dict[str, Any] = {
        "benchmark": benchmark.facts(),
        "before": _facts(before, runs[0]),
        "after": _facts(after, runs[1]),
        "solving": {kind: _solving(benchmark, runs, rows, kind) for kind in benchmark.test_sets},
        "speedup": None,
    }
    measured: list[Row] = []
    if protocol is not None:
        if runs[0]["samples"]["hash"] == runs[1]["samples"]["hash"]:
            console.print("both runs have the same samples: programs are timed beside their copies")
            protocol = replace(protocol, shared=False)
        summary["speedup"], measured = _speedup(benchmark, rows, out, protocol, console)
    _write(out, summary, measured, console)
    return summary


def _write(out: Path, summary: dict[str, Any], measured: list[Row], console: Console) -> None:
    """Write `compare.json` and the page, and print the page's tables."""
    with replacing(out / FILE) as file:
        file.write(json.dumps(summary | {"problems": measured}, indent=1).encode())
    page = compare_page.page(summary)
    page.write(out, "compare", compare_page.drawn(summary, measured))
    page.print(console)
    console.print(str(out / "compare.html"), markup=False)


def check(runs: Sequence[Report], folders: Sequence[Path], benchmark: Benchmark) -> None:
    """Refuse runs that were graded on another benchmark, or another file of it.

    Raises:
        InputError: they were.
    """
    for run, folder in zip(runs, folders, strict=True):
        of = run["benchmark"]
        if (of["sha256"], of["name"]) != (benchmark.sha256, benchmark.name):
            raise InputError(
                f"{folder}: graded on {of['name']} (sha256 {of['sha256'][:12]}…), not on "
                f"{benchmark.name} (sha256 {benchmark.sha256[:12]}…); grade both on one file"
            )


def _facts(folder: Path, run: Report) -> dict[str, Any]:
    sampled = run["generation"] or {}
    return {
        "run": folder.name,
        "model": sampled.get("model"),
        "samples": run["samples"],
        "pass_at_k": run["pass_at_k"],
        "self_test": run.get("self_test"),
    }


def _solving(
    benchmark: Benchmark, runs: Sequence[Report], rows: tuple[list[Row], list[Row]], kind: str
) -> dict[str, Any]:
    scores = (run["pass_at_k"][kind]["pass@1"] for run in runs)
    return solving(benchmark, *rows, kind) | dict(zip(SIDES, scores, strict=True))


def solving(benchmark: Benchmark, before: list[Row], after: list[Row], kind: str) -> dict[str, Any]:
    """The difference in pass@1, and which run solves which problem more often.

    The exact test is McNemar's where each problem has one sample. With more samples it is the sign
    test over problems whose shares of right samples differ; for one sample the two are the same.

    Args:
        benchmark: of both runs.
        before: rows of samples and verdicts.
        after: rows of samples and verdicts.
        kind: the set of tests, `base` or `plus`.
    """
    from scipy.stats import binomtest

    ungraded = {row["task_id"] for row in (*before, *after) if row[kind] == UNGRADED}
    names = np.array([t.task_id for t in benchmark.tasks if t.task_id not in ungraded])
    shares = np.array([_shares(names, rows, kind) for rows in (before, after)])
    change = shares[1] - shares[0]
    won, lost = names[change > 0].tolist(), names[change < 0].tolist()
    p = binomtest(len(won), len(won) + len(lost)).pvalue if won or lost else 1.0
    one = max(Counter(row["task_id"] for row in [*before]).values()) == 1
    return {
        "difference": [float(change.mean()), *bootstrap(change)],
        "won": won,
        "lost": lost,
        "test": "McNemar, exact" if one else "sign test over problems, exact",
        "p": float(p),
    }


def _shares(names: Iterable[str], rows: list[Row], kind: str) -> list[float]:
    """The share of right samples of each task; 0 for a task without samples."""
    number = Counter(row["task_id"] for row in rows)
    right = Counter(row["task_id"] for row in rows if row[kind] == PASS)
    return [right[name] / max(number[name], 1) for name in names]


def _speedup(
    benchmark: Benchmark,
    graded: tuple[list[Row], list[Row]],
    out: Path,
    protocol: Protocol,
    console: Console,
) -> tuple[dict[str, Any], list[Row]]:
    calls = getattr(kind_module(benchmark.kind), "calls", None)
    if calls is None:
        raise InputError(
            f"{benchmark.name}: its tasks are not functions with inputs, so speedup cannot be "
            "measured; use --no-timing"
        )
    right = [_right(rows, benchmark.test_sets[-1]) for rows in graded]
    sides = [
        Sides(task, calls(task), right[0][task.task_id], right[1][task.task_id])
        for task in benchmark.tasks
        if task.task_id in right[0] and task.task_id in right[1]
    ]
    if not sides:
        console.print("speedup: no problem is solved by both", style="yellow")
    rows = speedups.measure(sides, protocol, out, console)
    wrong = sum(task_id not in right[1] for task_id in right[0])
    found = summarise(rows, len(right[0]), wrong)
    return found | {"protocol": asdict(protocol)}, rows


def _right(rows: list[Row], kind: str) -> dict[str, list[str]]:
    """Task id -> its right programs."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row[kind] == PASS:
            found.setdefault(row["task_id"], []).append(row["solution"])
    return found
