"""Report: what a build did, as a dict (`report.json`), as tables, and as a page with plots.

The page is one file: no script, no network, light and dark by the reader's setting. Task ids,
prompts, code and errors are untrusted; they reach the page through `_escaped` only.
"""

import html
import json
import platform
import string
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from codedpo_plugin import __version__, candidates, credible, export, plots
from codedpo_plugin.build import STAGES, read_merged
from codedpo_plugin.execute import OUTCOMES
from codedpo_plugin.pool import usable_cores
from codedpo_plugin.recipe import Recipe
from codedpo_plugin.shards import Row, replacing
from codedpo_plugin.show import View, cut_code, explain, plain

KINDS = ("correctness", "efficiency")

_STAGES = (candidates.STAGE, *(stage.name for stage in STAGES.values()))
_BINS = 25  # of normalised scores
_TIED = {"1": 1, "2": 2, "3-4": 4, "5-8": 8, "9+": 1 << 60}  # label -> most solutions
_ERROR_TYPES = 1000  # kept while counting: a solution may raise any number of classes of its own

Summary = dict[str, Any]


def summarise(
    recipe: Recipe, counts: export.Counts, seconds: Mapping[str, float], layers: Mapping[str, str]
) -> Summary:
    """Count what a finished and exported run holds, shard by shard, in bounded memory.

    Args:
        recipe: with `output`, the run folder.
        counts: what the export wrote.
        seconds: stage -> wall seconds of this invocation.
        layers: sandbox layer -> `on`, or why it is off.

    Returns:
        plain values; `samples` and `example` are for the page, the rest is `report.json`.
    """
    nothing: dict[str, Any] = {"shards": 0, "skipped": [], "tests_cut": 0}
    manifest = candidates.read_manifest(recipe.output) or nothing
    tally = _Tally(recipe)
    for shard in range(manifest["shards"]):
        for row in read_merged(recipe.output, _STAGES, shard):
            tally.add(row, shard)
    numbers = plots.read_pairs(recipe.output / export.FOLDER / "dpo")
    return {
        "codedpo": __version__,
        "run": str(recipe.output),
        "machine": {
            "platform": platform.platform(),
            "python": platform.python_version(),
            "cores": usable_cores(),
        },
        "problems": _problems(manifest, tally),
        "pairs": {
            kind: {split: counts.rows[kind, split] for split in export.SPLITS} for kind in KINDS
        },
        "dropped": dict(counts.dropped),
        "cells": _cells(tally),
        "ties_at_top": _ties(tally.tied),
        "lengths": _lengths(numbers),
        "speed": _speed(numbers),
        "wall_seconds": dict(seconds),
        "sandbox": dict(layers),
        "recipe": recipe.model_dump(mode="json"),
        "example": tally.example and tally.example[1:],
        "samples": {
            "chosen": numbers.chosen.values,
            "rejected": numbers.rejected.values,
            "ratios": numbers.ratios.values,
            "scores": tally.scores.tolist(),
        },
    }


def print_tables(summary: Summary, console: Console) -> None:
    """Print what matters of a summary, at most 80 columns wide."""
    problems, outcomes, pairs, seconds = map(_rich_table, _tables(summary))
    right = Table.grid()
    right.add_row(pairs)
    if summary["wall_seconds"]:
        right.add_row(seconds)
    below = Table.grid(padding=(0, 4))
    below.add_row(outcomes, right)
    facts = Table.grid(padding=(0, 2))
    for name, fact in _facts(summary).items():
        facts.add_row(Text(name, "bold"), Text(plain(fact)))
    for part in (problems, below, facts):
        console.print(part, width=min(console.width, 80), soft_wrap=False)


def write(recipe: Recipe, summary: Summary) -> Path:
    """Write `RUN/report.json` and `RUN/report.html`; returns the page's path.

    Raises:
        InfrastructureError: the disk is full or the folder cannot be written.
    """
    figures = {key: value for key, value in summary.items() if key not in ("samples", "example")}
    with replacing(recipe.output / "report.json") as file:
        file.write(json.dumps(figures, indent=1).encode())
    page = recipe.output / "report.html"
    with replacing(page) as file:
        file.write(_page(recipe, summary).encode())
    return page


# -- counting ---------------------------------------------------------------------------------


@dataclass
class _Tally:
    """Counters over the rows of a run."""

    recipe: Recipe
    problems: Counter[str] = field(default_factory=Counter)
    """`kept`, `with_pair`, `with_correctness`, `with_efficiency` -> problems"""
    why_not: dict[str, Counter[str]] = field(default_factory=lambda: {k: Counter() for k in KINDS})
    """kind -> reason -> problems"""
    cells: Counter[tuple[bool, str]] = field(default_factory=Counter)
    """(test is sealed, outcome) -> cells"""
    errors: Counter[str] = field(default_factory=Counter)
    """error type -> cells, of the outcome `error`"""
    cpu_seconds: float = 0.0
    scores: np.ndarray = field(default_factory=lambda: np.zeros(_BINS, dtype=int))
    """Solutions by score as a share of the best one's, in equal bins from 0 to 1."""
    tied: Counter[str] = field(default_factory=Counter)
    """Solutions that share the best score, a key of `_TIED` -> problems"""
    example: tuple[tuple[bool, int], str, int] | None = None
    """How telling it is, task id, shard: the problem that the page explains."""

    def add(self, row: Row, shard: int) -> None:
        """Count one problem, of this shard."""
        self.problems["kept"] += 1
        self.cpu_seconds += row["cpu_seconds"]
        for outcomes, errors in zip(row["outcomes"], row["errors"], strict=True):
            self.cells.update(zip(row["sealed"], outcomes, strict=True))
            self._add_errors(outcomes, errors)
        self._add_scores(row)
        self._add_pairs(row, shard)

    def _add_errors(self, outcomes: list[str], errors: list[str | None]) -> None:
        for outcome, error in zip(outcomes, errors, strict=True):
            if outcome == "error" and error:
                self.errors[error.partition(":")[0][:60]] += 1
        if len(self.errors) > _ERROR_TYPES:
            self.errors = Counter(dict(self.errors.most_common(_ERROR_TYPES // 2)))

    def _add_scores(self, row: Row) -> None:
        ran = credible.ran(row)
        if not ran:
            return
        scores = np.array(row[self.recipe.ranker]["solution_scores"])[ran]
        best = scores.max()
        tied = int((scores == best).sum())
        self.tied[next(label for label, most in _TIED.items() if tied <= most)] += 1
        zero = min(scores.min(), 0.0)  # B4's scores are negative: there the worst counts as 0
        if best > zero:
            self.scores += np.histogram((scores - zero) / (best - zero), _BINS, (0, 1))[0]

    def _add_pairs(self, row: Row, shard: int) -> None:
        kinds = {pair["kind"] for pair in row["pairs"]}
        self.problems.update(f"with_{kind}" for kind in kinds)
        self.problems["with_pair"] += bool(kinds)
        for kind in KINDS:
            if why := row[f"no_{kind}"]:
                self.why_not[kind][why] += 1
        variety = len({outcome for line in row["outcomes"] for outcome in line})
        telling = (len(kinds) == len(KINDS), variety)
        if kinds and (self.example is None or telling > self.example[0]):
            self.example = (telling, row["task_id"], shard)


def _problems(manifest: Mapping[str, Any], tally: _Tally) -> Summary:
    skipped = Counter(skip["reason"] for skip in manifest["skipped"])
    return {
        "read": tally.problems["kept"] + skipped.total(),
        "skipped": dict(skipped.most_common()),
        "with_pair": tally.problems["with_pair"],
        "with_correctness": tally.problems["with_correctness"],
        "no_correctness": dict(tally.why_not["correctness"].most_common()),
        "with_efficiency": tally.problems["with_efficiency"],
        "no_efficiency": dict(tally.why_not["efficiency"].most_common()),
        "tests_cut": manifest["tests_cut"],
    }


def _cells(tally: _Tally) -> Summary:
    """Cells (solution x test) by outcome, and what running them took."""
    by_test = {
        name: {outcome: tally.cells[sealed, outcome] for outcome in OUTCOMES}
        for sealed, name in ((True, "sealed"), (False, "unsealed"))
    }
    outcomes = {name: sum(cells[name] for cells in by_test.values()) for name in OUTCOMES}
    ran = sum(outcomes.values()) - outcomes["not_run"]
    return {
        "total": sum(outcomes.values()),
        "outcomes": outcomes,
        "by_test": by_test,
        "error_types": dict(tally.errors.most_common(10)),
        "cpu_seconds": tally.cpu_seconds,
        "per_cpu_second": ran / tally.cpu_seconds if tally.cpu_seconds else None,
    }


def _ties(tied: Counter[str]) -> Summary:
    total = tied.total()
    sizes = {label: tied[label] for label in _TIED}
    return {"share": (total - tied["1"]) / total if total else None, "problems_by_size": sizes}


def _lengths(numbers: plots.PairNumbers) -> Summary:
    """Characters of the texts of correctness pairs, and how well length alone tells them apart."""
    pairs = numbers.chosen.seen
    return {
        "chosen_median": float(np.median(numbers.chosen.values)) if pairs else None,
        "rejected_median": float(np.median(numbers.rejected.values)) if pairs else None,
        "shorter_is_chosen": numbers.shorter_chosen / pairs if pairs else None,
    }


def _speed(numbers: plots.PairNumbers) -> Summary:
    """Quartiles of seconds(rejected) / seconds(chosen) of efficiency pairs."""
    ratios = numbers.ratios.values
    quartiles = np.quantile(ratios, (0.25, 0.5, 0.75)).tolist() if ratios else None
    return {"quartiles": quartiles}


# -- tables -----------------------------------------------------------------------------------


class _Rows(NamedTuple):
    """A table for terminal and page; every column but the first holds numbers."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def _tables(summary: Summary) -> tuple[_Rows, _Rows, _Rows, _Rows]:
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
        _Rows(("Problems", ""), _problem_rows(summary["problems"])),
        _Rows(("Outcomes", "cells", "share"), outcomes),
        _Rows(("Pairs", *export.SPLITS), pairs),
        _Rows(("Stage", "wall seconds"), seconds),
    )


def _problem_rows(problems: Summary) -> list[tuple[str, str]]:
    rows = [("read", problems["read"])]
    rows += [(f"  skipped: {why}", n) for why, n in problems["skipped"].items()]
    for kind in KINDS:
        rows.append((f"with {kind} pairs", problems[f"with_{kind}"]))
        rows += [(f"  none: {why}", n) for why, n in problems[f"no_{kind}"].items()]
    return [(name, f"{n:,}") for name, n in rows]


def _facts(summary: Summary) -> dict[str, str]:
    """What fits no table, each in a line; facts about nothing are left out."""
    cells, ties = summary["cells"], summary["ties_at_top"]
    lengths, quartiles = summary["lengths"], summary["speed"]["quartiles"]
    sealed = sum(cells["by_test"]["sealed"].values()) / max(cells["total"], 1)
    facts = {
        "execute": f"{cells['cpu_seconds']:,.1f} CPU seconds; {sealed:.0%} of cells are sealed"
    }
    if cells["per_cpu_second"]:
        facts["execute"] += f"; {cells['per_cpu_second']:,.0f} cells per CPU second"
    if cut := summary["problems"]["tests_cut"]:
        facts["cut"] = f"{cut:,} tests beyond execute.max_tests"
    if summary["problems"]["skipped"]:
        facts["skipped"] = "listed in candidates/manifest.json"
    if ties["share"] is not None:
        facts["ties"] = (
            f"{ties['share']:.0%} of problems have several solutions with the best score"
        )
    if lengths["chosen_median"] is not None:
        facts["lengths"] = (
            f"median {lengths['chosen_median']:,.0f} characters chosen, "
            f"{lengths['rejected_median']:,.0f} rejected; "
            f"the shorter one is the chosen in {lengths['shorter_is_chosen']:.0%}"
        )
    if quartiles:
        facts["speed"] = "median {1:,.2f} times as fast, quartiles {0:,.2f} and {2:,.2f}".format(
            *quartiles
        )
    off = [f"{name} ({state})" for name, state in summary["sandbox"].items() if state != "on"]
    if off:
        facts["sandbox"] = f"off: {'; '.join(off)}"
    return facts


def _rich_table(data: _Rows) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column, name in enumerate(data.head):
        table.add_column(name, justify="right" if column else "left", no_wrap=bool(column))
    for row in data.rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    table.add_row()
    return table


# -- page -------------------------------------------------------------------------------------


def _page(recipe: Recipe, summary: Summary) -> str:
    problems, outcomes, pairs, seconds = map(_html_table, _tables(summary))
    cells, samples = summary["cells"], summary["samples"]
    machine = summary["machine"]
    by_test = {f"{name} tests": counts for name, counts in cells["by_test"].items()}
    errors = [(name, f"{count:,}") for name, count in cells["error_types"].items()]
    return _PAGE.substitute(
        title=_escaped(f"codedpo: {recipe.output.name}"),
        about=_escaped(
            f"{summary['run']} · codedpo {summary['codedpo']} · Python {machine['python']} · "
            f"{machine['cores']} cores · {machine['platform']}"
        ),
        tiles=_tiles(summary),
        problems=problems,
        pairs=pairs,
        pairs_plot=plots.pairs(samples["chosen"], samples["rejected"], samples["ratios"]),
        outcomes=outcomes,
        outcomes_plot=plots.outcomes(by_test),
        errors=_html_table(_Rows(("Error type", "cells"), errors)) if errors else "",
        scores_plot=plots.scores(samples["scores"], summary["ties_at_top"]["problems_by_size"]),
        ranker=_escaped(recipe.ranker),
        facts=_html_table(_Rows(("", ""), list(_facts(summary).items())), "text"),
        example=_example(recipe, summary["example"]),
        seconds=seconds if summary["wall_seconds"] else "",
        sandbox=_html_table(_Rows(("Sandbox layer", ""), list(summary["sandbox"].items())), "text"),
        recipe=_escaped(yaml.safe_dump(summary["recipe"], sort_keys=False)),
    )


def _escaped(text: str) -> str:
    """Text of any origin, as HTML that shows it and does nothing."""
    return html.escape(plain(text))


def _html_table(data: _Rows, kind: str = "numbers") -> str:
    def line(tag: str, cells: Iterable[str]) -> str:
        # The two leading spaces of a sub-row are an indent, which HTML would drop.
        inner = (_escaped(cell).replace("  ", "&emsp;") for cell in cells)
        return f"<tr>{''.join(f'<{tag}>{cell}</{tag}>' for cell in inner)}</tr>"

    head = f"<thead>{line('th', data.head)}</thead>" if any(data.head) else ""
    body = "\n".join(line("td", row) for row in data.rows)
    return f'<table class="{kind}">{head}<tbody>{body}</tbody></table>'


def _tiles(summary: Summary) -> str:
    """The four numbers that a reader wants first."""
    pairs = {kind: sum(summary["pairs"][kind].values()) for kind in KINDS}
    tiles = {"problems": summary["problems"]["read"]}
    tiles |= {f"{kind} pairs": count for kind, count in pairs.items()}
    tiles["cells run"] = summary["cells"]["total"] - summary["cells"]["outcomes"]["not_run"]
    return "".join(f"<div><b>{count:,}</b>{name}</div>" for name, count in tiles.items())


def _example(recipe: Recipe, example: tuple[str, int] | None) -> str:
    """One problem explained: prompt, heat map, and both programs of each pair."""
    if example is None:
        return "<p>No problem gave a pair.</p>"
    task_id, shard = example
    rows = read_merged(recipe.output, _STAGES, shard)
    view = View(next(row for row in rows if row["task_id"] == task_id), recipe)
    solutions, tests, outcomes = view.solutions, view.tests, view.row["outcomes"]
    heat_map = plots.heat_map(
        [[outcomes[solution][test] for test in tests] for solution in solutions],
        solutions,
        tests,
        [test in view.row["credible_tests"] for test in tests],
        {solutions.index(solution): mark for solution, mark in view.marks.items()},
    )
    pairs = "\n".join(_html_pair(pair, view) for pair in view.row["pairs"])
    prompt = f"<h3>{_escaped(task_id)}</h3>{_html_code(view.row['prompt'])}"
    return f"{prompt}\n<figure>{heat_map}</figure>\n{pairs}"


def _html_pair(pair: Row, view: View) -> str:
    sides = "".join(
        f"<div><h4>{side}: solution {pair[f'{side}_index']}</h4>"
        f"{_html_code(view.row['solutions'][pair[f'{side}_index']])}</div>"
        for side in ("chosen", "rejected")
    )
    why = _escaped(explain(pair, view))
    return f'<h3>{pair["kind"].capitalize()} pair</h3><p>{why}</p><div class="sides">{sides}</div>'


def _html_code(code: str) -> str:
    shown, note = cut_code(code)
    return f"<pre>{_escaped(shown)}</pre>" + (f"<small>{_escaped(note)}</small>" if note else "")


_PAGE = string.Template("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>$title</title>
<style>
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1f2328; --faint: #59636e;
  --line: #d5dae0; --panel: #f6f8fa; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171c; --ink: #e4e8ec; --faint: #9aa4af;
  --line: #353c45; --panel: #1d2229; } }
body { max-width: 960px; margin: 0 auto; padding: 1.5rem 1rem 4rem; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.6rem; }
h2 { margin: 2.5rem 0 .75rem; padding-bottom: .25rem; border-bottom: 1px solid var(--line);
  font-size: 1.2rem; }
h3 { margin: 1.5rem 0 .5rem; font-size: 1rem; overflow-wrap: anywhere; }
h4 { margin: 0 0 .25rem; font-size: .9rem; }
.about, small, figcaption { color: var(--faint); font-size: .85rem; overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem;
  margin-top: 1.25rem; }
.tiles div { padding: .6rem .9rem; border-radius: 8px; background: var(--panel);
  color: var(--faint); }
.tiles b { display: block; color: var(--ink); font-size: 1.5rem; line-height: 1.3; }
.columns { display: flex; flex-wrap: wrap; gap: 1rem 3rem; align-items: flex-start; }
table { border-collapse: collapse; margin: .5rem 0; }
th, td { padding: .2rem 1rem .2rem 0; text-align: left; border-bottom: 1px solid var(--line);
  vertical-align: top; overflow-wrap: anywhere; }
.numbers :is(th, td) + :is(th, td) { text-align: right; font-variant-numeric: tabular-nums;
  padding: .2rem 0 .2rem 1.25rem; overflow-wrap: normal; }
.text td:first-child { white-space: nowrap; }
figure { margin: 1rem 0; }
svg { display: block; width: 100%; height: auto; }
pre { margin: 0; padding: .75rem; max-height: 32rem; overflow: auto; border-radius: 6px;
  background: var(--panel); font: 12.5px/1.45 ui-monospace, monospace; white-space: pre-wrap;
  overflow-wrap: anywhere; }
.sides { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 1rem; }
.sides > div { min-width: 0; }
</style>
</head>
<body>
<h1>$title</h1>
<div class="about">$about</div>
<div class="tiles">$tiles</div>
<h2>Problems and pairs</h2>
<div class="columns">$problems $pairs</div>
$facts
<figure>$pairs_plot<figcaption>If length alone tells chosen from rejected, that is what a model
learns first.</figcaption></figure>
<h2>Outcomes</h2>
<figure>$outcomes_plot<figcaption>Sealed tests are judged outside the solution's process; in
unsealed ones a solution could cheat.</figcaption></figure>
<div class="columns">$outcomes $errors</div>
<h2>Scores</h2>
<figure>$scores_plot<figcaption>Ranker: $ranker. Scores compare only within a problem.</figcaption>
</figure>
<h2>One problem explained</h2>
$example
<h2>How it was made</h2>
<div class="columns">$seconds $sandbox</div>
<details><summary>Recipe</summary><pre>$recipe</pre></details>
</body>
</html>
""")
