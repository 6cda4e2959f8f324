"""What people see of a run: `RUN/report.md`, `RUN/report.html`, and the tables in the terminal."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console

from codedpo_eval.benchmarks.registry import score_names
from codedpo_eval.generation.generate import MOST_WITHOUT_PROGRAM, advice, facts_of
from codedpo_eval.reporting import figures
from codedpo_eval.reporting.page import Page, percent
from codedpo_eval.reporting.report import FILE, Report
from codedpo_plugin.reporting.render import Rows
from codedpo_plugin.run_folder.shards import replacing


def write(run: Path, report: Report) -> Report:
    """Write `report.json`, `report.md` and `report.html`.

    Returns:
        The report, with `generation`: what is known of how the samples were generated.
    """
    report |= {"generation": facts_of(run)}
    with replacing(run / FILE) as file:
        file.write(json.dumps(report, indent=1).encode())
    _page(report, run.name).write(run, "report", [figures.scores(report)])
    return report


def print_tables(report: Report, console: Console) -> None:
    """Print the tables and facts of a report."""
    _page(report).print(console)


def _page(report: Report, about: str = "") -> Page:
    title = f"codedpo eval: {report['benchmark']['name']}"
    return Page(title, about, tiles(report), tables(report), facts(report))


def tiles(report: Report) -> dict[str, str]:
    """The numbers that are shown first."""
    names = score_names(report["benchmark"]["name"])
    scores = {
        f"pass@1, {names[kind]}": f"{100 * values['pass@1'][0]:.1f} %"
        for kind, values in report["pass_at_k"].items()
    }
    return scores | {
        "tasks": f"{report['graded_tasks']:,}",
        "samples": f"{report['samples']['rows']:,}",
    }


def tables(report: Report) -> list[Rows]:
    """pass@k; statuses; other graders' scores; tasks not graded; pass@1 by subset."""
    found, names = report["pass_at_k"], score_names(report["benchmark"]["name"])
    scores = [(k, *(percent(values[k]) for values in found.values())) for k in found["base"]]
    statuses = [
        (status, *(f"{report['statuses'][kind].get(status, 0):,}" for kind in found))
        for status in sorted({s for kind in found for s in report["statuses"][kind]})
    ]
    title = f"Score, % of {report['graded_tasks']} tasks [95 %]"
    parts = [
        Rows((title, *(names[kind] for kind in found)), scores),
        Rows(("Samples", *(names[kind] for kind in found)), statuses),
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


def _answers_without_program(sampled: dict[str, Any]) -> dict[str, str]:
    """Name -> text: a warning, and examples."""
    share = sampled["without_program"] / sampled["samples"]
    examples = {
        f"no program, {example['task_id']}": repr(example["response"])
        for example in sampled.get("examples_without_program", [])
    }
    advised = advice(sampled["style"]).strip()
    return {"warning": f"{share:.0%} of the answers hold no program. {advised}"} | examples


def facts(report: Report) -> dict[str, str]:
    """Name -> text: what does not fit a table."""
    benchmark, sampled = report["benchmark"], report["generation"]
    found = {
        "benchmark": f"{benchmark['version'] or 'no known version'}; {benchmark['file']}, "
        f"md5 {benchmark['md5']}",
        "grader": f"{report['grader']}; {report['cpu_seconds']:,.1f} CPU seconds; "
        f"{report['retried']} retried alone",
    }
    if benchmark["choice"]:
        found["tasks"] = ", ".join(f"{name} {value}" for name, value in benchmark["choice"].items())
    found |= dict(report["settings"]["options"])
    if report["unsealed"]:
        found["unsealed"] = f"{report['unsealed']} samples ran with tests that trust their process"
    if sampled:
        found["model"] = (
            f"{sampled['model']}, {sampled['style']}, n {sampled['n']}, "
            f"temperature {sampled['temperature']:g}, template {sampled['template']}"
        )
        found["answers"] = (
            f"{sampled['truncated']} cut at {sampled['max_tokens']} tokens, "
            f"{sampled['without_program']} without a program"
        )
        if "extractor" in sampled:
            found["answers"] += f", programs extracted by {sampled['extractor']}"
        if sampled["without_program"] > MOST_WITHOUT_PROGRAM * sampled["samples"]:
            found |= _answers_without_program(sampled)
    found |= {f"note {n}": text for n, text in enumerate(report["samples"]["notices"], 1)}
    if test := report.get("self_test"):
        found["self-test"] = (
            f"{test['passed']} of {test['tasks']} reference solutions pass on this machine"
            + (f"; not: {', '.join(test['failed'][:10])}" if test["failed"] else "")
        )
    return found
