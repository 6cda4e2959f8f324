"""Pages: tables, facts and figures as Markdown, as one HTML file, and in the terminal."""

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from codedpo_plugin.reporting.render import (
    Rows,
    escaped,
    html_table,
    markdown,
    rich_table,
    style,
)
from codedpo_plugin.run_folder.shards import replacing
from codedpo_plugin.statistics import Interval


@dataclass(frozen=True)
class Page:
    """What is shown of a run, or of a comparison."""

    title: str
    about: str
    """A line below the title."""
    tiles: Mapping[str, str]
    """Label -> the number that is shown large."""
    tables: Sequence[Rows]
    facts: Mapping[str, str]
    """Name -> text: what does not fit a table."""

    def write(self, folder: Path, stem: str, figures: Sequence[str]) -> None:
        """Write `STEM.md`, and `STEM.html` with figures (SVG)."""
        with replacing(folder / f"{stem}.md") as file:
            file.write(self.markdown().encode())
        with replacing(folder / f"{stem}.html") as file:
            file.write(self.html(figures).encode())

    def markdown(self) -> str:
        """Tables and facts as Markdown."""
        return markdown([*self.tables, Rows(("", ""), list(self.facts.items()))])

    def html(self, figures: Sequence[str] = ()) -> str:
        """One HTML file, in the style of the build's report; figures are SVG."""
        template = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
        return string.Template(template).substitute(
            style=style(),
            title=escaped(self.title),
            about=escaped(self.about),
            tiles="".join(
                f"<div><b>{escaped(value)}</b>{escaped(name)}</div>"
                for name, value in self.tiles.items()
            ),
            tables="\n".join(map(html_table, self.tables)),
            facts=html_table(Rows(("", ""), list(self.facts.items())), "text"),
            figures="\n".join(f"<figure>{figure}</figure>" for figure in figures),
        )

    def print(self, console: Console) -> None:
        """Print tables and facts."""
        for rows in self.tables:
            console.print(rich_table(rows), soft_wrap=False)
        for name, fact in self.facts.items():
            console.print(f"{name}: {fact}", markup=False, highlight=False)


def percent(value: Interval) -> str:
    """`61.0 [53.4, 68.1]`."""
    return "{:.1f} [{:.1f}, {:.1f}]".format(*(100 * part for part in value))
