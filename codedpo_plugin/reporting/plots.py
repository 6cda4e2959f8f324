"""Plots: the picture on the dataset card, and inline SVG for the report.

Figures are drawn without pyplot, so no window, no global figure list and no display are needed.
Only numbers and words of our own are drawn, never text from the data. In an SVG the ink is
`currentColor` and the paper `var(--paper)`: the page around it decides between light and dark.

Importing this module imports matplotlib (half a second): do so where a plot is made.
"""

import io
import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, NullLocator

_INK = "#24292f"
_PAPER = "#fefdfc"

# Okabe and Ito's palette: told apart in all common kinds of colour blindness.
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
_CHOSEN, _REJECTED, _RATIO, _NEUTRAL = "#2f8fce", "#e69f00", "#009e73", "#56b4e9"

STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "svg.fonttype": "none",
}

_SAMPLE = 5000
WIDTH = 9.0  # inches; 864 CSS pixels


class Sample:
    """At most 5,000 of the numbers added, each equally likely to be kept; all while they fit."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self.seen = 0
        self._random = random.Random(0)

    def add(self, value: float) -> None:
        """Take one number."""
        self.seen += 1
        if len(self.values) < _SAMPLE:
            self.values.append(value)
        elif (slot := self._random.randrange(self.seen)) < _SAMPLE:
            self.values[slot] = value


@dataclass
class PairNumbers:
    """What is drawn of a dataset's pairs."""

    chosen: Sample = field(default_factory=Sample)
    """Characters of the chosen text, correctness pairs."""
    rejected: Sample = field(default_factory=Sample)
    """Characters of the rejected text, correctness pairs."""
    shorter_chosen: float = 0.0
    """Correctness pairs whose chosen text is the shorter one; equal lengths count half."""
    ratios: Sample = field(default_factory=Sample)
    """Seconds of rejected / seconds of chosen, efficiency pairs."""


def read_pairs(dpo: Path) -> PairNumbers:
    """Read the `*.jsonl` of an exported `dpo` config; memory is bounded."""
    numbers = PairNumbers()
    for path in sorted(dpo.glob("*.jsonl")):
        with path.open(encoding="utf-8") as file:
            for line in file:
                _count_pair(json.loads(line), numbers)
    return numbers


def pairs_overview(dpo: Path, out: Path) -> None:
    """Write a PNG: lengths of the correctness pairs, speed ratios of the efficiency pairs."""
    numbers = read_pairs(dpo)
    with matplotlib.rc_context(STYLE):
        figure = _pairs_figure(
            numbers.chosen.values, numbers.rejected.values, numbers.ratios.values
        )
        figure.savefig(out, format="png", dpi=150)


def pairs(chosen: Sequence[float], rejected: Sequence[float], ratios: Sequence[float]) -> str:
    """SVG of the same: lengths in characters, and seconds(rejected) / seconds(chosen)."""
    with matplotlib.rc_context(STYLE):
        return svg(_pairs_figure(chosen, rejected, ratios), "Lengths and speed ratios of the pairs")


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
        left.stairs(histogram, np.linspace(0, 1, len(histogram) + 1), fill=True, color=_NEUTRAL)
        left.set(title="Scores", xlabel="score / the problem's best score", ylabel="solutions")
        left.set_xlim(0, 1)
        bars = right.bar(list(tied), list(tied.values()), color=_NEUTRAL, width=0.75)
        right.bar_label(bars, [f"{n:,}" if n else "" for n in tied.values()], padding=2)
        right.set(title="Ties", xlabel="solutions that share the best score", ylabel="problems")
        right.margins(y=0.15)
        for axes in (left, right):
            _whole_numbers(axes)
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
            axes.hlines(np.arange(rows - 1) + 0.5, -0.5, columns - 0.5, color=_PAPER, linewidth=1)
            axes.vlines(np.arange(columns - 1) + 0.5, -0.5, rows - 0.5, color=_PAPER, linewidth=1)
        axes.spines[:].set_visible(False)
        axes.set(xlabel="test (most credible first)", ylabel="solution (best first)")
        _thinned_ticks(axes, solutions, tests)
        _mark_credible(axes, credible, 1 / height)
        _mark_rows(axes, rows, columns, marks, 0.19 * rows / height)
        _outcome_legend(figure, {outcome for line in grid for outcome in line}, credible=True)
        return svg(figure, "Pass matrix: outcome of every solution on every test")


def training_curves(
    runs: Mapping[str, Mapping[str, Sequence[tuple[int, float]]]], out: Path
) -> None:
    """Write a PNG, a line of panels for each run: log-probabilities, rewards, margin, loss.

    Args:
        runs: name -> metric as the trainer names it -> (step, value). Lines are smoothed over a
            twentieth of the run; dots are values on the test split.
        out: the file to write.
    """
    panels = {
        "log-probability": (("logps/chosen", _CHOSEN), ("logps/rejected", _REJECTED)),
        "reward (\u03b2 \u00d7 its change)": (
            ("rewards/chosen", _CHOSEN),
            ("rewards/rejected", _REJECTED),
        ),
        "margin of rewards": (("rewards/margins", _RATIO),),
        "loss": (("loss", _NEUTRAL),),
    }
    with matplotlib.rc_context(STYLE):
        figure = Figure((1.5 * WIDTH, 2.9 * len(runs)), layout="constrained")
        grid = figure.subplots(len(runs), len(panels), squeeze=False, sharex="row")
        for line, (name, series) in zip(grid, runs.items(), strict=True):
            for axes, (title, metrics) in zip(line, panels.items(), strict=True):
                _curves(axes, metrics, series)
                axes.set_title(title)
                axes.set_xlabel("step")
            line[0].set_ylabel(name)
        figure.savefig(out, format="png", dpi=130)


def _curves(
    axes: Axes,
    metrics: Sequence[tuple[str, str]],
    series: Mapping[str, Sequence[tuple[int, float]]],
) -> None:
    drawn = [(name, colour) for name, colour in metrics if series.get(name)]
    if not drawn:
        _empty(axes, "not logged")
    for name, colour in drawn:
        steps, values = np.array(series[name], float).T
        window = max(1, len(values) // 20)
        smooth = np.convolve(values, np.ones(window) / window, "valid")
        axes.plot(steps, values, color=colour, alpha=0.25, linewidth=0.8)
        axes.plot(steps[window - 1 :], smooth, color=colour, label=name.split("/")[-1])
        if held_out := series.get(f"eval_{name}"):
            axes.plot(*zip(*held_out, strict=True), "o", color=colour, markersize=4)
    if len(drawn) > 1:
        axes.legend()


def _count_pair(row: Mapping[str, Any], numbers: PairNumbers) -> None:
    if row["kind"] == "efficiency":
        if row["chosen_seconds"] and row["rejected_seconds"]:
            numbers.ratios.add(row["rejected_seconds"] / row["chosen_seconds"])
        return
    chosen, rejected = _characters(row["chosen"]), _characters(row["rejected"])
    numbers.chosen.add(chosen)
    numbers.rejected.add(rejected)
    numbers.shorter_chosen += 0.5 if chosen == rejected else float(chosen < rejected)


def _characters(completion: Any) -> int:
    """Characters of a string, or of a message list's contents."""
    if isinstance(completion, str):
        return len(completion)
    return sum(len(message["content"]) for message in completion)


def _pairs_figure(
    chosen: Sequence[float], rejected: Sequence[float], ratios: Sequence[float]
) -> Figure:
    figure = Figure((WIDTH, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.set_title("Lengths, correctness pairs")
    if chosen:
        series = {"chosen": (chosen, _CHOSEN), "rejected": (rejected, _REJECTED)}
        _histograms(left, series, "median {:,.0f} characters", "")
        left.set_xlabel("characters")
    else:
        _empty(left, "no correctness pairs")
    right.set_title("Speed, efficiency pairs")
    if ratios:
        _histograms(right, {"": (ratios, _RATIO)}, "median {:,.2f}\u00d7", "\u00d7")
        right.set_xlabel("seconds of rejected / seconds of chosen")
    else:
        _empty(right, "no efficiency pairs")
    return figure


def _histograms(
    axes: Axes, series: Mapping[str, tuple[Sequence[float], str]], median: str, unit: str
) -> None:
    """Overlapping histograms on one logarithmic axis, each with its median as a dashed line.

    Args:
        series: name -> values, colour; a value below 1 (an empty text) is drawn at 1.
        median: format string of a number.
        unit: what follows a number on the axis.
    """
    everything = np.concatenate([np.maximum(values, 1) for values, _ in series.values()])
    low, high = everything.min() / 1.02, everything.max() * 1.02
    bins = min(max(int(2 * len(everything) ** 0.5), 8), 30)
    edges = np.geomspace(low, high, bins + 1)
    for name, (values, colour) in series.items():
        counts, _ = np.histogram(np.maximum(values, 1), edges)
        middle = float(np.median(values))
        label = f"{name}: {median.format(middle)}" if name else median.format(middle)
        axes.stairs(counts, edges, fill=True, color=colour, alpha=0.45)
        axes.stairs(counts, edges, color=colour, linewidth=1.2)
        axes.axvline(middle, 0, 0.78, color=colour, linestyle="--", linewidth=1.8, label=label)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_xticks(_log_ticks(low, high), minor=False)
    axes.xaxis.set_major_formatter(lambda value, _: f"{_short(value)}{unit}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylabel("pairs")
    _whole_numbers(axes)
    axes.set_ylim(top=axes.dataLim.ymax * 1.3)  # room for the legend
    axes.legend(loc="upper right", handlelength=1.6)


def _whole_numbers(axes: Axes) -> None:
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter("{x:,.0f}")


def _log_ticks(low: float, high: float) -> list[float]:
    """Round numbers between the ends: the finest series whose labels do not touch."""
    ticks: list[float] = []
    for digits in ((1, 1.1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 7), (1, 1.2, 1.5, 2, 3, 5), (1, 2, 5), (1,)):
        round_numbers = (digit * 10.0**power for power in range(9) for digit in digits)
        ticks = [number for number in round_numbers if low <= number <= high]
        if (np.diff(np.log(ticks)) > np.log(high / low) / 10).all():
            break
    return ticks


def _short(number: float) -> str:
    """1.5, 200, 10k, 2M."""
    if number < 10_000:
        return f"{number:g}"
    return f"{number / 1e3:g}k" if number < 1e6 else f"{number / 1e6:g}M"


def _empty(axes: Axes, text: str) -> None:
    """Say that there is nothing to draw."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=12)


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
        handles.append(Patch(color=_INK, label="credible test (bar above)"))
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
    axes.bar(columns, 0.06 * inch, 0.9, bottom=bottom, color=_INK, transform=above, clip_on=False)


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
            arrowprops={"arrowstyle": "-|>", "color": _INK, "linewidth": 0.8},
        )


def svg(figure: Figure, label: str) -> str:
    """A figure as an `<svg>` element for a page that defines `--paper`; `label` is its alt text."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": label}):  # ids that differ between the figures
        figure.savefig(buffer, format="svg", transparent=True)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # the same names in every figure: ids must not repeat
    svg = svg.replace(_INK, "currentColor").replace(_PAPER, "var(--paper)")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
