"""Figures of a run, as SVG in the style of the build's report."""

from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from codedpo_plugin.reporting.plot_style import STYLE, WIDTH, svg

BASE_COLOUR, PLUS_COLOUR = "#e69f00", "#2f8fce"


def scores(report: dict[str, Any]) -> str:
    """pass@k of a run with its intervals."""
    found = report["pass_at_k"]
    lines = [
        (f"{k}, {kind}", value, PLUS_COLOUR if kind == "plus" else BASE_COLOUR)
        for kind, values in found.items()
        for k, value in values.items()
    ]
    return intervals(lines, "pass@k with 95 % intervals")


def intervals(lines: Sequence[tuple[str, Sequence[float], str]], title: str) -> str:
    """Values with their intervals, one line each: name, (value, low, high), colour."""
    with matplotlib.rc_context(STYLE):
        figure = Figure((WIDTH, 0.9 + 0.32 * len(lines)), layout="constrained")
        axes = figure.subplots()
        for place, (_, (value, low, high), colour) in enumerate(lines):
            axes.plot([low, high], [place, place], color=colour, linewidth=2.5, alpha=0.6)
            axes.plot([value], [place], "o", color=colour, markersize=7)
        axes.set_yticks(range(len(lines)), [name for name, *_ in lines])
        axes.set_ylim(len(lines) - 0.5, -0.5)
        axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.4g}%")
        axes.grid(axis="x", alpha=0.25)
        axes.set_title(title)
        return svg(figure, title)
