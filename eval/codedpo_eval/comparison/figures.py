"""Figures of a comparison, as SVG in the style of the build's report."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from codedpo_eval.comparison.speedup import RATIO
from codedpo_eval.comparison.speedup_summary import by_run
from codedpo_eval.reporting.figures import intervals
from codedpo_plugin.reporting.plot_style import STYLE, WIDTH, svg
from codedpo_plugin.run_folder.shards import Row

_NEAR = (0.2, 0.3, 0.5, 0.65, 0.8, 1, 1.25, 1.5, 2, 3, 5)
_FAR = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 1000)
_WIDE = 8  # ratio of the ends of an axis from which its ticks are those of `_FAR`
_BEFORE, _AFTER, _CONTROL = "#e69f00", "#2f8fce", "#7a7a7a"


def solving(summary: dict[str, Any]) -> str:
    """pass@1 of both runs with their intervals."""
    lines = [
        (f"{side}, {kind}", of[side], colour)
        for kind, of in summary["solving"].items()
        for side, colour in (("before", _BEFORE), ("after", _AFTER))
    ]
    return intervals(lines, "pass@1 of both runs with 95 % intervals")


def speedups(rows: Sequence[Row]) -> str:
    """Box plots of speedup over problems, one for each run, with those of the control."""
    title = "Speedup over the problems that both solve, run by run"
    runs, controls = by_run(rows), by_run(rows, "control_runs")
    with matplotlib.rc_context(STYLE):
        figure = Figure((WIDTH, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        _boxes(left, runs, controls)
        left.set_title(title)
        _ordered(right, rows)
        right.set_title("Problem by problem")
        return svg(figure, title)


def _boxes(axes: Axes, runs: list[list[float]], controls: list[list[float]]) -> None:
    columns = [*runs, *controls]
    if not columns:
        axes.text(0.5, 0.5, "nothing was measured", transform=axes.transAxes, ha="center")
        return
    names = [f"run {n}" for n in range(1, len(runs) + 1)]
    names += [f"copies {n}" for n in range(1, len(controls) + 1)]
    boxes = axes.boxplot(columns, patch_artist=True, widths=0.55, flierprops={"markersize": 3})
    for place, box in enumerate(boxes["boxes"]):
        box.set_facecolor(_AFTER if place < len(runs) else _CONTROL)
        box.set_alpha(0.55)
    for line in boxes["medians"]:
        line.set_color("#24292f")
    axes.set_xticks(range(1, len(columns) + 1), names)
    _log_axis(axes)
    axes.set_ylabel("time before / time after")


def _ordered(axes: Axes, rows: Sequence[Row]) -> None:
    """Speedups in order, each with two standard errors."""
    timed = sorted((row["log_speedup"], row["standard_error"]) for row in rows if row.get("runs"))
    if timed:
        logs, errors = np.array(timed).T
        places = np.arange(len(logs))
        axes.vlines(
            places, np.exp(logs - 2 * errors), np.exp(logs + 2 * errors), color=_AFTER, alpha=0.4
        )
        axes.plot(places, np.exp(logs), ".", color=_AFTER, markersize=4)
    _log_axis(axes)
    axes.set_xlabel("problems, ordered; bars: two standard errors")


def _log_axis(axes: Axes) -> None:
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    ticks = _FAR if high / low > _WIDE else _NEAR
    axes.set_yticks([tick for tick in ticks if low <= tick <= high], minor=False)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}\u00d7")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.axhline(1, color="#24292f", linewidth=0.8)
    for ratio in (RATIO, 1 / RATIO):
        axes.axhline(ratio, color="#24292f", linewidth=0.8, linestyle=":")
