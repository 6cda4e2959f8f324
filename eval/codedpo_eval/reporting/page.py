"""Reports as one HTML file, in the look of the build's report."""

import string
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from codedpo_plugin.reporting.render import Rows, escaped, html_table, style


def run_page(run: Path, report: dict[str, Any]) -> str:
    """The page of a run."""
    from codedpo_eval.reporting import figures
    from codedpo_eval.reporting.report import facts, tables, tiles

    title = f"codedpo eval: {report['benchmark']['name']}"
    drawn = [figures.scores(report)]
    return page(title, run.name, tiles(report), tables(report), facts(report), drawn)


def page(
    title: str,
    about: str,
    tiles: Mapping[str, str],
    tables: Iterable[Rows],
    facts: Mapping[str, str],
    figures: Iterable[str] = (),
) -> str:
    """A page: tiles and facts (name -> text), tables, figures (SVG)."""
    template = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    return string.Template(template).substitute(
        style=style(),
        title=escaped(title),
        about=escaped(about),
        tiles="".join(
            f"<div><b>{escaped(value)}</b>{escaped(name)}</div>" for name, value in tiles.items()
        ),
        tables="\n".join(map(html_table, tables)),
        facts=html_table(Rows(("", ""), list(facts.items())), "text"),
        figures="\n".join(f"<figure>{figure}</figure>" for figure in figures),
    )
