"""The console; tables for the terminal, for HTML and for Markdown; what all HTML pages share.

All text may come from models or data, so every renderer escapes it.
"""

import html
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from codedpo_plugin.reporting.text import plain


def make_console() -> Console:
    """A console that wraps lines at words on a terminal, and not at all elsewhere."""
    return Console(soft_wrap=not Console().is_terminal)


class Rows(NamedTuple):
    """A table; every column but the first holds numbers."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def rich_table(data: Rows) -> Table:
    """A table for the terminal."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column, name in enumerate(data.head):
        table.add_column(name, justify="right" if column else "left", no_wrap=bool(column))
    for row in data.rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    table.add_row()
    return table


def html_table(data: Rows, kind: str = "numbers") -> str:
    """A table as HTML; `kind` is its class in the style sheet: `numbers` or `text`."""

    def line(tag: str, cells: Iterable[str]) -> str:
        # The two leading spaces of a sub-row are an indent, which HTML would drop.
        inner = (escaped(cell).replace("  ", "&emsp;") for cell in cells)
        return f"<tr>{''.join(f'<{tag}>{cell}</{tag}>' for cell in inner)}</tr>"

    head = f"<thead>{line('th', data.head)}</thead>" if any(data.head) else ""
    body = "\n".join(line("td", row) for row in data.rows)
    return f'<table class="{kind}">{head}<tbody>{body}</tbody></table>'


def markdown_table(data: Rows) -> str:
    """A table as Markdown; the last line ends without a newline."""

    def cell(text: str) -> str:
        return plain(text).replace("|", "\\|").replace("\n", " ")

    lines = [data.head, ["---"] * len(data.head), *data.rows]
    return "\n".join(f"| {' | '.join(map(cell, line))} |" for line in lines)


def markdown(tables: Iterable[Rows]) -> str:
    """Tables as a Markdown file."""
    return "\n\n".join(map(markdown_table, tables)) + "\n"


def escaped(text: str) -> str:
    """Text of any origin as HTML that shows it and does nothing."""
    return html.escape(plain(text))


def style() -> str:
    """The style sheet of all pages."""
    return Path(__file__).with_name("page.css").read_text(encoding="utf-8")
