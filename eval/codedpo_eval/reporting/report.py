"""A run's figures: `RUN/report.json`, and from it the Markdown table and the page."""

import json
import platform
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from codedpo_eval.benchmarks.registry import Benchmark, kind_module
from codedpo_eval.generation import samples as samples_file
from codedpo_eval.generation.generate import facts_of
from codedpo_eval.generation.samples import Samples
from codedpo_eval.metrics import pass_at
from codedpo_eval.verdict import PASS, UNGRADED, GradeSettings
from codedpo_plugin import __version__
from codedpo_plugin.errors import InputError
from codedpo_plugin.reporting.render import Rows, markdown, rich_table
from codedpo_plugin.run_folder.shards import Row, key_of, replacing
from codedpo_plugin.statistics import Interval

FILE = "report.json"
Report = dict[str, Any]


def summarise(
    benchmark: Benchmark,
    found: Samples,
    verdicts: list[Row],
    settings: GradeSettings,
    source: str,
    self_test: dict[str, Any] | None = None,
    grader: str = "codedpo",
) -> Report:
    """All figures of a run, as plain values; `source` is what the benchmark was asked for as,
    `self_test` what is known of its reference solutions.
    """
    judged = ["base", "plus"] if benchmark.plus else ["base"]
    ungraded = {row["task_id"]: row["error"] for row in verdicts if row["base"] == UNGRADED}
    facts = benchmark.facts()
    graded = tuple(task for task in benchmark.tasks if task.task_id not in ungraded)
    if not graded:
        raise InputError(
            f"{benchmark.name}: no task can be graded here: {Counter(ungraded.values())}"
        )
    benchmark = replace(benchmark, tasks=graded)
    return {
        "benchmark": facts | {"source": source},
        "graded_tasks": len(graded),
        "ungraded": dict(Counter(ungraded.values()).most_common()),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"codedpo": __version__, "python": platform.python_version()},
        "machine": platform.platform(),
        "grader": grader,
        "settings": settings.plain(),
        "samples": {
            "rows": len(found.rows),
            "hash": key_of([(row["task_id"], row["solution"]) for row in found.rows]),
            "missing_tasks": found.missing,
            "unknown_tasks": found.unknown,
            "notices": found.notices,
        },
        "pass_at_k": {kind: _pass_at_k(benchmark, verdicts, kind) for kind in judged},
        "statuses": {kind: dict(Counter(row[kind] for row in verdicts)) for kind in judged},
        "retried": sum(row["retried"] for row in verdicts),
        "unsealed": sum(not row["sealed"] for row in verdicts),
        "cpu_seconds": sum(row["seconds"] for row in verdicts),
        "subsets": _subsets(benchmark, verdicts, self_test),
        "self_test": self_test,
    }


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
    """pass@1 by what the kind of benchmark tells its tasks apart with, such as the library; and how
    many of their references pass.
    """
    tell = getattr(kind_module(benchmark.kind), "subsets", None)
    if tell is None:
        return {}
    groups: dict[str, dict[str, set[str]]] = {}
    for task in benchmark.tasks:
        for what, value in tell(task).items():
            groups.setdefault(what, {}).setdefault(str(value), set()).add(task.task_id)
    last = "plus" if benchmark.plus else "base"
    return {
        what: {
            value: {"tasks": len(tasks)}
            | ({"references": len(tasks - self_test["failed"].keys())} if self_test else {})
            | _pass_at_k(benchmark, verdicts, last, tasks)
            for value, tasks in sorted(values.items())
        }
        for what, values in groups.items()
    }


def write(run: Path, report: Report) -> Report:
    """Write `report.json`, `report.md` and `report.html`; returns the report with all it holds."""
    from codedpo_eval.reporting import page

    report |= {"generation": facts_of(run)}
    with replacing(run / FILE) as file:
        file.write(json.dumps(report, indent=1).encode())
    with replacing(run / "report.md") as file:
        details = Rows(("", ""), list(facts(report).items()))
        file.write(markdown([*tables(report), details]).encode())
    with replacing(run / "report.html") as file:
        file.write(page.run_page(run, report).encode())
    return report


def load(run: Path) -> Report:
    """The report of a run.

    Raises:
        InputError: the folder has none, or its verdicts are not those of its samples.
    """
    try:
        report: Report = json.loads((run / FILE).read_text())
    except FileNotFoundError:
        raise InputError(
            f"{run}: no {FILE}; make it with `codedpo eval grade BENCHMARK --samples FILE "
            f"--out {run}`"
        ) from None
    return report


def load_rows(run: Path) -> list[Row]:
    """Samples of a graded run with their verdicts, in order.

    Raises:
        InputError: samples or verdicts are missing, or are not of each other.
    """
    report = load(run)
    rows = list(_lines(run / samples_file.FILE))
    verdicts = list(_lines(run / "verdicts.jsonl"))
    known = {(row["task_id"], row["sample"]): row for row in verdicts}
    if report["samples"]["hash"] != key_of([(r["task_id"], r["solution"]) for r in rows]):
        raise InputError(f"{run}: samples have changed since they were graded; grade them again")
    return [row | known[row["task_id"], row["sample"]] for row in rows]


def _lines(path: Path) -> list[Row]:
    try:
        return [json.loads(line) for line in path.read_text().splitlines()]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; grade the run again") from None


# -- tables ---------------------------------------------------------------------------------------


def percent(value: Interval) -> str:
    """`61.0 [53.4, 68.1]`."""
    return "{:.1f} [{:.1f}, {:.1f}]".format(*(100 * part for part in value))


def tables(report: Report) -> list[Rows]:
    """pass@k; statuses; by subset."""
    found, name = report["pass_at_k"], report["benchmark"]["name"]
    kinds = {"base": name.removesuffix("+"), "plus": name}
    scores = [(k, *(percent(values[k]) for values in found.values())) for k in found["base"]]
    statuses = [
        (status, *(f"{report['statuses'][kind].get(status, 0):,}" for kind in found))
        for status in sorted({s for kind in found for s in report["statuses"][kind]})
    ]
    title = f"Score, % of {report['graded_tasks']} tasks [95 %]"
    parts = [
        Rows((title, *(kinds[kind] for kind in found)), scores),
        Rows(("Samples", *(kinds[kind] for kind in found)), statuses),
    ]
    if others := report.get("other_graders"):
        lines = [
            (k, *(f"{100 * one['pass_at_k'][k]:.1f}" for one in others))
            for k in others[0]["pass_at_k"]
        ]
        parts.append(Rows(("The same samples", *(one["grader"] for one in others)), lines))
    if report["ungraded"]:
        reasons = [(why, str(number)) for why, number in report["ungraded"].items()]
        parts.append(Rows(("Not graded here, not in the score", "tasks"), reasons))
    return parts + [_subset_table(what, values) for what, values in report["subsets"].items()]


def _subset_table(what: str, values: dict[str, dict[str, Any]]) -> Rows:
    """pass@1 by subset, and how many references pass, where that is known."""
    tested = [name for name in ("references",) if all(name in of for of in values.values())]
    lines = [
        (value, str(of["tasks"]), percent(of["pass@1"]), *(str(of[name]) for name in tested))
        for value, of in values.items()
    ]
    heads = ["references that pass" for _ in tested]
    return Rows((what.capitalize(), "tasks", "pass@1", *heads), lines)


def facts(report: Report) -> dict[str, str]:
    """What fits no table, each in a line."""
    benchmark, sampled = report["benchmark"], report["generation"]
    told = {
        "benchmark": f"{benchmark['version'] or 'no known version'}; {benchmark['file']}, "
        f"md5 {benchmark['md5']}",
        "grader": f"{report['grader']}; {report['cpu_seconds']:,.1f} CPU seconds; "
        f"{report['retried']} retried alone",
    }
    if benchmark["choice"]:
        told["tasks"] = ", ".join(f"{name} {value}" for name, value in benchmark["choice"].items())
    for name, value in report["settings"]["options"]:
        told[name] = value
    if report["unsealed"]:
        told["unsealed"] = f"{report['unsealed']} samples ran with tests that trust their process"
    if sampled:
        told["model"] = (
            f"{sampled['model']}, {sampled['style']}, n {sampled['n']}, "
            f"temperature {sampled['temperature']:g}, template {sampled['template']}"
        )
        told["answers"] = (
            f"{sampled['truncated']} cut at {sampled['max_tokens']} tokens, "
            f"{sampled['without_program']} without a program"
        )
    told |= {f"note {n}": text for n, text in enumerate(report["samples"]["notices"], 1)}
    if test := report.get("self_test"):
        told["self-test"] = (
            f"{test['passed']} of {test['tasks']} reference solutions pass on this machine"
            + (f"; not: {', '.join(test['failed'][:10])}" if test["failed"] else "")
        )
    return told


def tiles(report: Report) -> dict[str, str]:
    """The numbers that a reader wants first."""
    found, name = report["pass_at_k"], report["benchmark"]["name"]
    names = {"base": name.removesuffix("+"), "plus": name}
    shown = {
        f"pass@1, {names[kind]}": f"{100 * values['pass@1'][0]:.1f} %"
        for kind, values in found.items()
    }
    return shown | {
        "tasks": f"{report['graded_tasks']:,}",
        "samples": f"{report['samples']['rows']:,}",
    }


def print_tables(report: Report, console: Console) -> None:
    """Print the tables."""
    for rows in tables(report):
        console.print(rich_table(rows), soft_wrap=False)
    for name, fact in facts(report).items():
        console.print(f"{name}: {fact}", markup=False, highlight=False)
