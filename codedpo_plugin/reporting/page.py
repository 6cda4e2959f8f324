"""The report page: one HTML file without scripts or network access, in light or dark colours as the
browser prefers.

Task ids, prompts, code and errors are untrusted; they reach the page through `escaped` only.
"""

import json
import string
from pathlib import Path

import yaml

from codedpo_plugin.dataset import pair_plots
from codedpo_plugin.recipe import Recipe
from codedpo_plugin.reporting import build_plots
from codedpo_plugin.reporting import summary as report
from codedpo_plugin.reporting.problem_view import View, explain
from codedpo_plugin.reporting.render import Rows, escaped, html_table, style
from codedpo_plugin.reporting.tables import facts, synthesis, tables
from codedpo_plugin.reporting.text import cut_code
from codedpo_plugin.run_folder.shards import Row, read_merged, replacing
from codedpo_plugin.stages import ROW_STAGES

_CONTAMINATED = 100  # dropped problems on the page; report.json has all


def write(recipe: Recipe, summary: report.Summary) -> Path:
    """Write `RUN/report.json` and `RUN/report.html`; returns its path.

    Raises:
        InfrastructureError: the disk is full or the folder cannot be written.
    """
    figures = {key: value for key, value in summary.items() if key not in ("samples", "example")}
    with replacing(recipe.output / "report.json") as file:
        file.write(json.dumps(figures, indent=1).encode())
    path = recipe.output / "report.html"
    with replacing(path) as file:
        file.write(page(recipe, summary).encode())
    return path


def page(recipe: Recipe, summary: report.Summary) -> str:
    """The whole page, as HTML."""
    problems, outcomes, pairs, seconds = map(html_table, tables(summary))
    cells, samples = summary["cells"], summary["samples"]
    machine = summary["machine"]
    by_test = {f"{name} tests": counts for name, counts in cells["by_test"].items()}
    errors = [(name, f"{count:,}") for name, count in cells["error_types"].items()]
    template = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    return string.Template(template).substitute(
        style=style(),
        title=escaped(f"codedpo: {recipe.output.name}"),
        about=escaped(
            f"{summary['run']} · codedpo {summary['codedpo']} · Python {machine['python']} · "
            f"{machine['cores']} cores · {machine['platform']}"
        ),
        tiles=_tiles(summary),
        first_half=_synthesis(summary["first_half"]),
        problems=problems,
        pairs=pairs,
        pairs_plot=pair_plots.as_svg(samples["chosen"], samples["rejected"], samples["ratios"]),
        outcomes=outcomes,
        outcomes_plot=build_plots.outcomes(by_test),
        errors=html_table(Rows(("Error type", "cells"), errors)) if errors else "",
        scores_plot=build_plots.scores(
            samples["scores"], summary["ties_at_top"]["problems_by_size"]
        ),
        ranker=escaped(recipe.ranker),
        facts=html_table(Rows(("", ""), list(facts(summary).items())), "text"),
        example=_example(recipe, summary["example"]),
        seconds=seconds if summary["wall_seconds"] else "",
        sandbox=html_table(Rows(("Sandbox layer", ""), list(summary["sandbox"].items())), "text"),
        recipe=escaped(yaml.safe_dump(summary["recipe"], sort_keys=False)),
    )


def _synthesis(stages: report.Summary) -> str:
    """How candidates were synthesised, and contaminated problems; empty for given candidates."""
    if not stages:
        return ""
    found = [
        (one["task_id"], one["benchmark"], one["problem"], one.get("words") or one["solution"])
        for stage in stages.values()
        for one in stage.get("contaminated", [])
    ]
    section = html_table(synthesis(stages))
    if found:
        head = ("Dropped problem", "Benchmark", "Its problem", "Shared words, or solution")
        rows = Rows(head, found[:_CONTAMINATED])
        section += f"<h3>Contaminated: {len(found):,}</h3>{html_table(rows, 'text')}"
    return f"<h2>From sources to candidates</h2>{section}"


def _tiles(summary: report.Summary) -> str:
    """The four main figures."""
    pairs = {kind: sum(summary["pairs"][kind].values()) for kind in report.KINDS}
    tiles = {"problems": summary["problems"]["read"]}
    tiles |= {f"{kind} pairs": count for kind, count in pairs.items()}
    tiles["cells run"] = summary["cells"]["total"] - summary["cells"]["outcomes"]["not_run"]
    return "".join(f"<div><b>{count:,}</b>{name}</div>" for name, count in tiles.items())


def _example(recipe: Recipe, example: tuple[str, int] | None) -> str:
    """One problem explained: prompt, heat map, and both programs of each pair."""
    if example is None:
        return "<p>No problem gave a pair.</p>"
    task_id, shard = example
    rows = read_merged(recipe.output, ROW_STAGES, shard)
    view = View(next(row for row in rows if row["task_id"] == task_id), recipe)
    solutions, tests, outcomes = view.solutions, view.tests, view.row["outcomes"]
    heat_map = build_plots.heat_map(
        [[outcomes[solution][test] for test in tests] for solution in solutions],
        solutions,
        tests,
        [test in view.row["credible_tests"] for test in tests],
        {solutions.index(solution): mark for solution, mark in view.marks.items()},
    )
    pairs = "\n".join(_html_pair(pair, view) for pair in view.row["pairs"])
    prompt = f"<h3>{escaped(task_id)}</h3>{_html_code(view.row['prompt'])}"
    return f"{prompt}\n<figure>{heat_map}</figure>\n{pairs}"


def _html_pair(pair: Row, view: View) -> str:
    sides = "".join(
        f"<div><h4>{side}: solution {pair[f'{side}_index']}</h4>"
        f"{_html_code(view.row['solutions'][pair[f'{side}_index']])}</div>"
        for side in ("chosen", "rejected")
    )
    why = escaped(explain(pair, view))
    return f'<h3>{pair["kind"].capitalize()} pair</h3><p>{why}</p><div class="sides">{sides}</div>'


def _html_code(code: str) -> str:
    head, note = cut_code(code)
    return f"<pre>{escaped(head)}</pre>" + (f"<small>{escaped(note)}</small>" if note else "")
