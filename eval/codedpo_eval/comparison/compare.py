"""Compare two runs on one benchmark: who solves more, and whose right programs are faster."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from codedpo_eval.benchmarks.registry import Benchmark, kind_module
from codedpo_eval.comparison import speedup as speedups
from codedpo_eval.comparison.speedup import Protocol, Sides
from codedpo_eval.reporting import report as reports
from codedpo_eval.verdict import PASS, UNGRADED
from codedpo_plugin.errors import InputError
from codedpo_plugin.reporting.render import Rows, markdown, rich_table
from codedpo_plugin.run_folder.shards import Row, replacing
from codedpo_plugin.statistics import bootstrap

FILE = "compare.json"
_SIDES = ("before", "after")


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
        before: a run's folder, of the model before training.
        after: that of the model after it.
        benchmark: what both were graded on.
        out: the folder to write into.
        protocol: how speedup is measured; None: not at all.
        console: to say what is done.

    Raises:
        InputError: the runs are not of the same benchmark file, or have changed since graded.
    """
    runs = [reports.load(run) for run in (before, after)]
    check(runs, (before, after), benchmark)
    rows = (reports.load_rows(before), reports.load_rows(after))
    kinds = ["base", "plus"] if benchmark.plus else ["base"]
    summary: dict[str, Any] = {
        "benchmark": benchmark.facts(),
        "before": _facts(before, runs[0]),
        "after": _facts(after, runs[1]),
        "solving": {
            kind: solving(benchmark, *rows, kind)
            | {
                side: run["pass_at_k"][kind]["pass@1"]
                for side, run in zip(_SIDES, runs, strict=True)
            }
            for kind in kinds
        },
        "speedup": None,
    }
    measured: list[Row] = []
    if protocol is not None:
        if runs[0]["samples"]["hash"] == runs[1]["samples"]["hash"]:
            console.print("a run against itself: every program is measured beside its copy")
            protocol = Protocol(**(asdict(protocol) | {"shared": False}))
        summary["speedup"], measured = _speedup(benchmark, *rows, kinds[-1], out, protocol, console)
    _write(out, summary, measured)
    _print(summary, console)
    console.print(str(out / "compare.html"), markup=False)
    return summary


def check(runs: Sequence[dict[str, Any]], folders: Sequence[Path], benchmark: Benchmark) -> None:
    """Refuse runs that were not graded on this very benchmark."""
    for run, folder in zip(runs, folders, strict=True):
        of = run["benchmark"]
        if (of["sha256"], of["name"]) != (benchmark.sha256, benchmark.name):
            raise InputError(
                f"{folder}: graded on {of['name']} (sha256 {of['sha256'][:12]}…), not on "
                f"{benchmark.name} (sha256 {benchmark.sha256[:12]}…); grade both on one file"
            )


def _facts(folder: Path, run: dict[str, Any]) -> dict[str, Any]:
    sampled = run["generation"] or {}
    return {
        "run": folder.name,
        "model": sampled.get("model"),
        "samples": run["samples"],
        "pass_at_k": run["pass_at_k"],
        "self_test": run.get("self_test"),
    }


def solving(benchmark: Benchmark, before: list[Row], after: list[Row], kind: str) -> dict[str, Any]:
    """The difference of pass@1, and who wins which problem.

    The exact test is McNemar's where each problem has one sample; with more, the sign test over
    problems whose shares of right samples differ, which is the same for one.
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
    """The share of right samples of every task; 0 without samples."""
    number = Counter(row["task_id"] for row in rows)
    right = Counter(row["task_id"] for row in rows if row[kind] == PASS)
    return [right[name] / max(number[name], 1) for name in names]


def _speedup(
    benchmark: Benchmark,
    before: list[Row],
    after: list[Row],
    kind: str,
    out: Path,
    protocol: Protocol,
    console: Console,
) -> tuple[dict[str, Any], list[Row]]:
    calls = getattr(kind_module(benchmark.kind), "calls", None)
    if calls is None:
        raise InputError(
            f"{benchmark.name}: its tasks are no functions with inputs, so no speedup can be "
            "measured; compare with --no-timing"
        )
    right = [_right(rows, kind) for rows in (before, after)]
    sides = [
        Sides(task, calls(task), right[0][task.task_id], right[1][task.task_id])
        for task in benchmark.tasks
        if task.task_id in right[0] and task.task_id in right[1]
    ]
    if not sides:
        console.print("speedup: no problem is solved by both", style="yellow")
    rows = speedups.measure(sides, protocol, out, console)
    wrong = sum(task_id not in right[1] for task_id in right[0])
    found = speedups.summarise(rows, len(right[0]), wrong)
    return found | {"protocol": asdict(protocol)}, rows


def _right(rows: list[Row], kind: str) -> dict[str, list[str]]:
    """Task id -> its right programs."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row[kind] == PASS:
            found.setdefault(row["task_id"], []).append(row["solution"])
    return found


# -- what people see ------------------------------------------------------------------------------


def tables(summary: dict[str, Any]) -> list[Rows]:
    """Solving; speedup."""
    name = summary["benchmark"]["name"]
    kinds = {"base": name.removesuffix("+"), "plus": name}
    of = list(summary["solving"].values())
    signed = "{:+.1f} [{:+.1f}, {:+.1f}]"
    solved = [
        ("before", *(reports.percent(one["before"]) for one in of)),
        ("after", *(reports.percent(one["after"]) for one in of)),
        ("difference", *(signed.format(*(100 * x for x in one["difference"])) for one in of)),
        ("problems won", *(str(len(one["won"])) for one in of)),
        ("problems lost", *(str(len(one["lost"])) for one in of)),
        ("p", *(f"{one['p']:.2g}" for one in of)),
    ]
    head = ("pass@1, % [95 %]", *(kinds[kind] for kind in summary["solving"]))
    parts = [Rows(head, solved)]
    return [*parts, *speedup_tables(summary["speedup"])] if summary["speedup"] else parts


def speedup_tables(found: dict[str, Any]) -> list[Rows]:
    """Figures of speedup beside those of the control, and what was measured."""
    control = found["control"]
    lines = [
        ("geometric mean", *(_times(of["geometric_mean"]) for of in (found, control))),
        *(
            (text, *(_portion(of[key]) for of in (found, control)))
            for text, key in (
                ("optimised, surely", "optimised_gated"),
                ("≥ 10 % faster", "optimised"),
                ("slowed, surely", "slowed_gated"),
                ("≥ 10 % slower", "slowed"),
            )
        ),
    ]
    zero = found["wrong_as_zero"]
    problems = [
        ("solved by both", f"{found['joint']:,}"),
        ("  measured", f"{found['measured']:,}"),
        ("  of these with equal programs (speedup 1)", f"{found['equal_programs']:,}"),
        ("  of these measured to 10 % or better", f"{found['resolved']:,}"),
        *((f"  not measured: {why}", f"{n:,}") for why, n in found["unmeasured"].items()),
        ("mean speedup, wrong counts as 0", _times(zero["mean"])),
        ("optimised surely, wrong counts as 0", _portion(zero["optimised_gated"])),
    ]
    return [
        Rows(("Speedup [95 %]", "after / before", "control (copies)"), lines),
        Rows(("Problems", ""), problems),
    ]


def _times(value: Sequence[float] | None) -> str:
    return "{:.3f}\u00d7 [{:.3f}, {:.3f}]".format(*value) if value else "none"


def _portion(share: dict[str, Any]) -> str:
    if share["share"] is None:
        return "none"
    return f"{share['count']} of {share['of']}, {reports.percent(share['share'])} %"


def tiles(summary: dict[str, Any]) -> dict[str, str]:
    """The numbers that a reader wants first."""
    last = list(summary["solving"].values())[-1]
    shown = {"points of pass@1": f"{100 * last['difference'][0]:+.1f}"}
    if found := summary["speedup"]:
        shown["speedup"] = _times(found["geometric_mean"]).partition(" ")[0]
        for name, of in (("optimised, surely", found), ("the same of copies", found["control"])):
            share = of["optimised_gated"]["share"]
            shown[name] = f"{100 * share[0]:.1f} %" if share else "none"
    return shown


def facts(summary: dict[str, Any]) -> dict[str, str]:
    """What fits no table."""
    benchmark = summary["benchmark"]
    told = {"benchmark": f"{benchmark['name']}, {benchmark['file']}, md5 {benchmark['md5']}"}
    for side in _SIDES:
        of = summary[side]
        named = [of["run"], of["model"]] if of["model"] else [of["run"]]
        told[side] = "; ".join([", ".join(named), *of["samples"]["notices"]])
    for kind, of in summary["solving"].items():
        told[f"test, {kind}"] = f"{of['test']}: p = {of['p']:.2g}"
    if found := summary["speedup"]:
        protocol = found["protocol"]
        told["protocol"] = (
            f"{protocol['runs']} runs of {protocol['min_rounds']} to {protocol['rounds']} rounds, "
            f"CPU time, samples of {1000 * protocol['sample_seconds']:g} ms, programs paired: "
            f"{protocol['pairing']}; optimised: at least 10 % faster, surely: also two standard "
            "errors lower, and three from 1"
        )
    return told


def _write(out: Path, summary: dict[str, Any], measured: list[Row]) -> None:
    from codedpo_eval.reporting import figures, page

    rows, told = tables(summary), facts(summary)
    drawn = [figures.solving(summary)]
    if summary["speedup"]:
        drawn.append(figures.speedups(measured))
    with replacing(out / FILE) as file:
        file.write(json.dumps(summary | {"problems": measured}, indent=1).encode())
    with replacing(out / "compare.md") as file:
        file.write(markdown([*rows, Rows(("", ""), list(told.items()))]).encode())
    title = f"codedpo eval: {summary['before']['run']} → {summary['after']['run']}"
    with replacing(out / "compare.html") as file:
        file.write(
            page.page(
                title, summary["benchmark"]["name"], tiles(summary), rows, told, drawn
            ).encode()
        )


def _print(summary: dict[str, Any], console: Console) -> None:
    for rows in tables(summary):
        console.print(rich_table(rows), soft_wrap=False)
    for name, fact in facts(summary).items():
        console.print(f"{name}: {fact}", markup=False, highlight=False)
