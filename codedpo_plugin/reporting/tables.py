"""Tables: the summary of a build as rows, for the terminal and for the page."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from codedpo_plugin.dataset import export
from codedpo_plugin.reporting.render import Rows, rich_table
from codedpo_plugin.reporting.summary import KINDS, Summary
from codedpo_plugin.reporting.text import plain


def print_tables(summary: Summary, console: Console) -> None:
    """Print what matters of a summary, at most 80 columns wide."""
    if summary["first_half"]:
        console.print(rich_table(first_half(summary["first_half"])), soft_wrap=False)
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


def first_half(stages: Summary) -> Rows:
    """How candidates came to be: what was kept and dropped, and what a model was asked."""
    rows = []
    for stage, made in stages.items():
        rows.append((stage, f"{made['kept']:,}"))
        rows += [(f"  dropped: {why}", f"{n:,}") for why, n in made["dropped"].items()]
        for role, counts in made.get("samples", {}).items():
            rows += [(f"  {role}: {what}", f"{n:,}") for what, n in counts.items()]
    usage = stages.get("generated", {}).get("usage", [])
    for name in ("requests", "retries", "samples", "prompt_tokens", "completion_tokens", "cost"):
        total = sum(one[name] for one in usage)
        if total:
            rows.append(
                (name.replace("_", " "), f"{total:,.2f}" if name == "cost" else f"{total:,}")
            )
    return Rows(("First half", ""), rows)


def _problem_rows(problems: Summary) -> list[tuple[str, str]]:
    rows = [("read", problems["read"])]
    rows += [(f"  skipped: {why}", n) for why, n in problems["skipped"].items()]
    for kind in KINDS:
        rows.append((f"with {kind} pairs", problems[f"with_{kind}"]))
        rows += [(f"  none: {why}", n) for why, n in problems[f"no_{kind}"].items()]
    return [(name, f"{n:,}") for name, n in rows]


def facts(summary: Summary) -> dict[str, str]:
    """What fits no table, each in a line; told about nothing are left out."""
    cells, ties = summary["cells"], summary["ties_at_top"]
    lengths, speed = summary["lengths"], summary["speed"]
    quartiles = speed["quartiles"]
    sealed = sum(cells["by_test"]["sealed"].values()) / max(cells["total"], 1)
    told = {"execute": f"{cells['cpu_seconds']:,.1f} CPU seconds; {sealed:.0%} of cells are sealed"}
    if cells["per_cpu_second"]:
        told["execute"] += f"; {cells['per_cpu_second']:,.0f} cells per CPU second"
    if cut := summary["problems"]["tests_cut"]:
        told["cut"] = f"{cut:,} tests beyond execute.max_tests"
    if summary["problems"]["skipped"]:
        told["skipped"] = "listed in candidates/skipped.jsonl"
    if ties["share"] is not None:
        told["ties"] = f"{ties['share']:.0%} of problems have several solutions with the best score"
    if selected := summary["correctness"]:
        pairs = selected["pairs"]
        told["correctness"] = (
            f"{selected['expected_right'] / pairs:.0%} of these pairs are expected to be right; "
            f"in {selected['near_misses'] / pairs:.0%} the rejected one passes some test"
        )
    if summary["settle"]:
        settle = ", ".join(f"{what} {n:,}" for what, n in summary["settle"].items())
        told["no pair"] = f"what would settle it, by problems: {settle}"
    if lengths["chosen_median"] is not None:
        told["lengths"] = (
            f"median {lengths['chosen_median']:,.0f} characters chosen, "
            f"{lengths['rejected_median']:,.0f} rejected; "
            f"the shorter one is the chosen in {lengths['shorter_is_chosen']:.0%}"
        )
    if quartiles:
        told["speed"] = "median {1:,.2f} times as fast, quartiles {0:,.2f} and {2:,.2f}".format(
            *quartiles
        )
    if speed["twins"]:
        told["control"] = (
            f"{speed['twins_apart']:,} of {speed['twins']:,} programs seemed faster or slower than "
            "a copy of themselves"
        )
    off = [f"{name} ({state})" for name, state in summary["sandbox"].items() if state != "on"]
    if off:
        told["sandbox"] = f"off: {'; '.join(off)}"
    if machines := summary["timed_on"]:
        told["timed on"] = ", ".join(f"{name}: {n:,} shards" for name, n in machines.items())
    return told
