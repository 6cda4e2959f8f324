"""Plots of the report of a build, as SVG: outcomes, scores and the pass matrix of one problem."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from codedpo_plugin.reporting.plot_style import (
    INK,
    NEUTRAL,
    PAPER,
    STYLE,
    WIDTH,
    svg,
    whole_numbers,
)

# The palette of Okabe and Ito: distinguishable with all common colour blindness.
OUTCOME_COLOURS = {
    "passed": "#009e73",
    "failed": "#e69f00",
    "error": "#d55e00",
    "timeout": "#cc79a7",
    "memory": "#56b4e9",
    "crashed": "#7a7a7a",
    "flaky": "#0072b2",
    "not_run": "#c8c8c8",
}


def outcomes(counts: Mapping[str, Mapping[str, int]]) -> str:
    """SVG: a bar of outcome shares for each kind of test. `counts`: kind -> outcome -> cells."""
    kinds = [kind for kind in counts if sum(counts[kind].values())]
    with matplotlib.rc_context(STYLE):
        figure = Figure((WIDTH, 0.9 + 0.5 * len(kinds)), layout="constrained")
        axes = figure.subplots()
        for place, kind in enumerate(kinds):
            _outcome_bar(axes, place, counts[kind])
        axes.set_yticks(range(len(kinds)), kinds)
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter("{x:.0%}")
        axes.spines.left.set_visible(False)
        axes.tick_params(axis="y", length=0)
        seen = {outcome for kind in kinds for outcome, cells in counts[kind].items() if cells}
        _outcome_legend(figure, seen)
        return svg(figure, "Shares of the outcomes")


def scores(histogram: Sequence[int], tied: Mapping[str, int]) -> str:
    """SVG: solution scores as shares of the problem's best; how many solutions tie at the top.

    Args:
        histogram: solutions in equal bins from 0 to 1.
        tied: number of tied solutions, as text -> problems.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure((WIDTH, 2.8), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        left.stairs(histogram, np.linspace(0, 1, len(histogram) + 1), fill=True, color=NEUTRAL)
        left.set(title="Scores", xlabel="score / the problem's best score", ylabel="solutions")
        left.set_xlim(0, 1)
        bars = right.bar(list(tied), list(tied.values()), color=NEUTRAL, width=0.75)
        right.bar_label(bars, [f"{n:,}" if n else "" for n in tied.values()], padding=2)
        right.set(title="Ties", xlabel="solutions that share the best score", ylabel="problems")
        right.margins(y=0.15)
        for axes in (left, right):
            whole_numbers(axes)
        return svg(figure, "Distribution of solution scores, and ties at the top")


def heat_map(
    grid: Sequence[Sequence[str]],
    solutions: Sequence[int],
    tests: Sequence[int],
    credible: Sequence[bool],
    marks: Mapping[int, str],
) -> str:
    """SVG of one problem's pass matrix.

    Args:
        grid: outcomes, N rows of M, in the order to be drawn.
        solutions: N numbers that label the rows.
        tests: M numbers that label the columns.
        credible: M, which columns get a mark.
        marks: row (position in `grid`) -> text at its right, such as `chosen`.
    """
    rows, columns = len(solutions), len(tests)
    with matplotlib.rc_context(STYLE):
        height = min(max(0.2 * rows, 1.6), 7.2)  # inches, of the matrix alone
        figure = Figure((WIDTH, height + 1.1), layout="constrained")
        axes = figure.subplots()
        names = list(OUTCOME_COLOURS)
        colours = ListedColormap(list(OUTCOME_COLOURS.values()))
        codes = [[names.index(outcome) for outcome in line] for line in grid]
        # `none`, not `nearest`: each cell stays one pixel of the embedded picture, however large.
        axes.imshow(
            codes, colours, vmin=0, vmax=len(names) - 1, aspect="auto", interpolation="none"
        )
        if rows <= 60 and columns <= 80:
            axes.hlines(np.arange(rows - 1) + 0.5, -0.5, columns - 0.5, color=PAPER, linewidth=1)
            axes.vlines(np.arange(columns - 1) + 0.5, -0.5, rows - 0.5, color=PAPER, linewidth=1)
        axes.spines[:].set_visible(False)
        axes.set(xlabel="test (most credible first)", ylabel="solution (best first)")
        _thinned_ticks(axes, solutions, tests)
        _mark_credible(axes, credible, 1 / height)
        _mark_rows(axes, rows, columns, marks, 0.19 * rows / height)
        _outcome_legend(figure, {outcome for line in grid for outcome in line}, credible=True)
        return svg(figure, "Pass matrix: outcome of every solution on every test")


def _outcome_bar(axes: Axes, place: float, counts: Mapping[str, int]) -> None:
    total, left = sum(counts.values()), 0.0
    for outcome, colour in OUTCOME_COLOURS.items():
        share = counts.get(outcome, 0) / total
        axes.barh(place, share, left=left, height=0.7, color=colour)
        if share > 0.04:
            ink = "black" if sum(to_rgb(colour)) > 1.2 else "white"
            axes.text(left + share / 2, place, f"{share:.0%}", ha="center", va="center", color=ink)
        left += share


def _outcome_legend(figure: Figure, seen: set[str], credible: bool = False) -> None:
    """Colours of the outcomes that occur, in one line above the plot."""
    handles = [
        Patch(color=colour, label=outcome.replace("_", " "))
        for outcome, colour in OUTCOME_COLOURS.items()
        if outcome in seen
    ]
    if credible:
        handles.append(Patch(color=INK, label="credible test (bar above)"))
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=len(handles),
        handlelength=1,
        columnspacing=1.2,
    )


def _thinned_ticks(axes: Axes, solutions: Sequence[int], tests: Sequence[int]) -> None:
    """Label every n-th row and column, such that labels do not touch."""
    for axis, numbers, most in ((axes.yaxis, solutions, 36), (axes.xaxis, tests, 26)):
        step = -(-len(numbers) // most)
        axis.set_ticks(range(0, len(numbers), step), [str(n) for n in numbers[::step]])
        axis.set_tick_params(length=0, labelsize=8)


def _mark_credible(axes: Axes, credible: Sequence[bool], inch: float) -> None:
    """A bar above each credible column; `inch` is that share of the plot's height."""
    columns, bottom = np.flatnonzero(credible), 1 + 0.05 * inch
    above = axes.get_xaxis_transform()
    axes.bar(columns, 0.06 * inch, 0.9, bottom=bottom, color=INK, transform=above, clip_on=False)


def _mark_rows(axes: Axes, rows: int, columns: int, marks: Mapping[int, str], gap: float) -> None:
    """Texts at the right of some rows, moved apart to `gap` rows where they would overlap."""
    free = -0.5
    for later, (row, text) in zip(
        range(len(marks) - 1, -1, -1), sorted(marks.items()), strict=True
    ):
        place = min(max(row, free), rows - 0.5 - later * gap)
        free = place + gap
        axes.annotate(
            text,
            xy=(columns - 0.5, row),
            xytext=(columns - 0.5 + columns * 0.03, place),
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 0.8},
        )
