"""The plot of rank-eval: precision against coverage, calibration, and the rankers' top-1."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from codedpo_plugin.rank_eval.evaluate import DEFAULT, DEFAULT_SINGLE, PAPER, Results, by_confidence
from codedpo_plugin.reporting.plot_style import STYLE

_COLOURS = {
    DEFAULT: "#d55e00",
    DEFAULT_SINGLE: "#e69f00",
    "b4, worst": "#56b4e9",
    "passed_count, worst": "#7a7a7a",
    PAPER: "#0072b2",
}


def overview(summary: dict[str, Any], results: Results, out: Path) -> None:
    """Write a PNG of three panels."""
    with matplotlib.rc_context(STYLE):
        figure = Figure((12.5, 3.8), layout="constrained")
        left, middle, right = figure.subplots(1, 3, width_ratios=(5, 3, 4))
        _precision_coverage(left, results)
        _calibration(middle, summary["calibration"]["bins"])
        _top_1(right, summary["rankings"])
        figure.savefig(out, format="png", dpi=150)


def _precision_coverage(axes: Axes, results: Results) -> None:
    paper = max(len(results.pairs[PAPER]), 1)
    for name, colour in _COLOURS.items():
        taken, right = by_confidence(results.pairs[name])
        drawn = taken > 20  # shares of fewer pairs are too noisy
        axes.plot(taken[drawn] / paper, right[drawn], color=colour, label=name, linewidth=1.8)
    axes.set(title="Right pairs", xlabel="pairs / pairs of the paper's rule", ylim=(0, 1))
    axes.set_ylabel("chosen right and rejected wrong")
    axes.set_xlim(0, 1.5)
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.legend(loc="lower left", fontsize=8)


def _calibration(axes: Axes, bins: Sequence[tuple[float, float, int]]) -> None:
    confidence, right, size = (np.array(column) for column in zip(*bins, strict=True))
    axes.plot((0, 1), (0, 1), color="#999999", linewidth=1, linestyle=":")
    axes.scatter(
        confidence, right, s=20 + 300 * size / size.sum(), color=_COLOURS[DEFAULT], alpha=0.8
    )
    axes.set(title="Calibration", xlabel="confidence", ylabel="share right")
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")


def _top_1(axes: Axes, rankings: dict[str, dict[str, Any]]) -> None:
    names = sorted(rankings, key=lambda name: rankings[name]["top-1"][0])
    values = np.array([rankings[name]["top-1"] for name in names])
    middle = values[:, 0]
    axes.barh(names, middle, color="#56b4e9", height=0.65)
    errors = np.abs(values[:, 1:].T - middle)
    axes.errorbar(middle, range(len(names)), xerr=errors, fmt="none", color="#24292f", linewidth=1)
    axes.set(title="Best-ranked is right", xlabel="share of mixed problems", xlim=(0, 1))
    axes.xaxis.set_major_formatter("{x:.0%}")
