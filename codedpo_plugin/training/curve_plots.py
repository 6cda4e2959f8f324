"""Plots of training curves.

Importing this module imports matplotlib (half a second): do so where a plot is made.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from codedpo_plugin.reporting.plot_style import (
    CHOSEN,
    NEUTRAL,
    RATIO,
    REJECTED,
    STYLE,
    WIDTH,
    placeholder,
)


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
        "log-probability": (("logps/chosen", CHOSEN), ("logps/rejected", REJECTED)),
        "reward (\u03b2 \u00d7 its change)": (
            ("rewards/chosen", CHOSEN),
            ("rewards/rejected", REJECTED),
        ),
        "margin of rewards": (("rewards/margins", RATIO),),
        "loss": (("loss", NEUTRAL),),
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
        placeholder(axes, "not logged")
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
