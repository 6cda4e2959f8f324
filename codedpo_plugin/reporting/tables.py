"""The summary of a build as tables, for the terminal and for the page."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from codedpo_plugin.dataset import export
from codedpo_plugin.reporting.render import Rows, rich_table
from codedpo_plugin.reporting.summary import KINDS, Summary
from codedpo_plugin.reporting.text import plain
from codedpo_plugin.stages import GENERATE


def print_tables(summary: Summary, console: Console) -> None:
    """Print the main figures of a summary, at most 80 columns wide."""
    if summary["first_half"]:
        console.print(rich_table(synthesis(summary["first_half"])), soft_wrap=False)
    problems, outcomes, pairs, seconds = map(rich_table, tables(summary))
    right = Table.grid()
    right.add_row(pairs)
    if summary["wall_seconds"]:
        right.add_row(seconds)
    below = Table.grid(padding=(0, 4))
    below.add_row(outcomes, right)
    lines = Table.grid(padding=(0, 2))
    for name, fact in facts(summary).items():
        lines.add_row(Text(name, "bold"), Text(plain(fact)))
    for part in (problems, below, lines):
        console.print(part, width=min(console.width, 80), soft_wrap=False)


def tables(summary: Summary) -> tuple[Rows, Rows, Rows, Rows]:
    """Problems, outcomes, pairs, seconds."""
    outcomes = [
        (name.replace("_", " "), f"{cells:,}", f"{cells / max(summary['cells']['total'], 1):.1%}")
        for name, cells in summary["cells"]["outcomes"].items()
        if cells
    ]
    pairs = [
        (kind, *(f"{n:,}" for n in split.values())) for kind, split in summary["pairs"].items()
    ]
    pairs += [(f"dropped: {why}", f"{n:,}", "") for why, n in summary["dropped"].items()]
    seconds = [(stage, f"{wall:,.1f}") for stage, wall in summary["wall_seconds"].items()]
    return (
        Rows(("Problems", ""), _problem_rows(summary["problems"])),
        Rows(("Outcomes", "cells", "share"), outcomes),
        Rows(("Pairs", *export.SPLITS), pairs),
        Rows(("Stage", "wall seconds"), seconds),
    )


def synthesis(stages: Summary) -> Rows:
    """How candidates were synthesised: rows kept and dropped, and what was requested of models."""
    rows = []
    for stage, made in stages.items():
        rows.append((stage, f"{made['kept']:,}"))
        rows += [(f"  dropped: {why}", f"{n:,}") for why, n in made["dropped"].items()]
        for role, counts in made.get("samples", {}).items():
            rows += [(f"  {role}: {what}", f"{n:,}") for what, n in counts.items()]
        for role, texts in made.get("unused_answers", {}).items():
            rows += [(f"  {role}: not usable, for example {text[:200]!r}", "") for text in texts]
    usage = stages.get(GENERATE.folder, {}).get("usage", [])
    for name in ("requests", "retries", "samples", "prompt_tokens", "completion_tokens", "cost"):
        total = sum(one[name] for one in usage)
        if total:
            rows.append(
                (name.replace("_", " "), f"{total:,.2f}" if name == "cost" else f"{total:,}")
            )
    return Rows(("Synthesis", ""), rows)


def _problem_rows(problems: Summary) -> list[tuple[str, str]]:
    rows = [("read", problems["read"])]
    rows += [(f"  skipped: {why}", n) for why, n in problems["skipped"].items()]
    for kind in KINDS:
        rows.append((f"with {kind} pairs", problems[f"with_{kind}"]))
        rows += [(f"  none: {why}", n) for why, n in problems[f"no_{kind}"].items()]
    return [(name, f"{n:,}") for name, n in rows]


def facts(summary: Summary) -> dict[str, str]:
    """Name -> a line for what fits in no table; lines with nothing to report are left out."""
    return _execution_facts(summary) | _pair_facts(summary) | _environment_facts(summary)


def _execution_facts(summary: Summary) -> dict[str, str]:
    cells, ties = summary["cells"], summary["ties_at_top"]
    sealed = sum(cells["by_test"]["sealed"].values()) / max(cells["total"], 1)
    lines = {
        "execute": f"{cells['cpu_seconds']:,.1f} CPU seconds; {sealed:.0%} of cells are sealed"
    }
    if cells["per_cpu_second"]:
        lines["execute"] += f"; {cells['per_cpu_second']:,.0f} cells per CPU second"
    if cut := summary["problems"]["tests_cut"]:
        lines["cut"] = f"{cut:,} tests beyond execute.max_tests"
    if summary["problems"]["skipped"]:
        lines["skipped"] = "listed in candidates/skipped.jsonl"
    if ties["share"] is not None:
        lines["ties"] = (
            f"{ties['share']:.0%} of problems have several solutions with the best score"
        )
    return lines


def _pair_facts(summary: Summary) -> dict[str, str]:
    lengths, speed = summary["lengths"], summary["speed"]
    lines = {}
    if selected := summary["correctness"]:
        pairs = selected["pairs"]
        lines["correctness"] = (
            f"{selected['expected_right'] / pairs:.0%} of these pairs are expected to be right; "
            f"in {selected['near_misses'] / pairs:.0%} the rejected solution passes some test"
        )
    if summary["settle"]:
        needs = ", ".join(f"{what} {n:,}" for what, n in summary["settle"].items())
        lines["no pair"] = f"what these problems need most likely: {needs}"
    if lengths["chosen_median"] is not None:
        lines["lengths"] = (
            f"median {lengths['chosen_median']:,.0f} characters chosen, "
            f"{lengths['rejected_median']:,.0f} rejected; "
            f"chosen is the shorter text in {lengths['shorter_is_chosen']:.0%}"
        )
    if quartiles := speed["quartiles"]:
        lines["speed"] = "median {1:,.2f} times as fast, quartiles {0:,.2f} and {2:,.2f}".format(
            *quartiles
        )
    if speed["twins"]:
        lines["control"] = (
            f"{speed['twins_apart']:,} of {speed['twins']:,} programs seemed faster or slower than "
            "a copy of themselves"
        )
    return lines


def _environment_facts(summary: Summary) -> dict[str, str]:
    lines = {}
    off = [f"{name} ({state})" for name, state in summary["sandbox"].items() if state != "on"]
    if off:
        lines["sandbox"] = f"off: {'; '.join(off)}"
    if machines := summary["timed_on"]:
        lines["timed on"] = ", ".join(f"{name}: {n:,} shards" for name, n in machines.items())
    return lines
