"""Pictures of the tiny loop.

python recipes/tiny/figures.py runs/tiny/compare runs/tiny/model quickstart.png
"""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from codedpo_plugin.reporting.plot_style import STYLE
from codedpo_plugin.training import curves

BEFORE, AFTER, REJECTED = "#8c959f", "#2f8fce", "#e69f00"
Interval = Sequence[float]  # value, low, high


def loop(compare: Path, model: Path, out: Path) -> None:
    """pass@1 before and after, speedups of the problems that both solve, log-probabilities."""
    found = json.loads((compare / "compare.json").read_text())
    series = curves.read(model).series
    with matplotlib.rc_context(STYLE):
        figure = Figure((11, 3.2), layout="constrained")
        solving, speed, training = figure.subplots(1, 3)
        _solving(solving, found["solving"]["base"])
        _speed(speed, found)
        _training(training, series)
        figure.savefig(out, format="png", dpi=130)


def _solving(axes: Axes, found: Mapping[str, Any]) -> None:
    values = [("before", found["before"], BEFORE), ("after", found["after"], AFTER)]
    for place, (_, value, colour) in enumerate(values):
        _bar(axes, place, value, colour)
        axes.text(place, 100 * value[2] + 1, f"{100 * value[0]:.0f} %", ha="center", va="bottom")
    axes.set_xticks(range(2), [name for name, _, _ in values])
    axes.set_ylim(0, 105)
    axes.set_title("held-out pass@1, sampled")


def _bar(axes: Axes, place: float, value: Interval, colour: str) -> None:
    middle, low, high = (100 * part for part in value)
    error = [[middle - low], [high - middle]]
    axes.bar(place, middle, 0.6, yerr=error, color=colour, ecolor="#24292f", capsize=4)


def _speed(axes: Axes, found: Mapping[str, Any]) -> None:
    logs = [row["log_speedup"] for row in found["problems"] if "unmeasured" not in row]
    edges = np.geomspace(1 / 64, 64, 25)
    axes.hist(np.exp(logs), bins=edges.tolist(), color=AFTER)
    axes.set_xscale("log", base=2)
    ticks = [1 / 16, 1 / 4, 1, 4, 16]
    axes.set_xticks(ticks, ["1/16", "1/4", "1", "4", "16\u00d7"])
    axes.axvline(1, color="#24292f", linewidth=0.8)
    if mean := found["speedup"]["geometric_mean"]:
        axes.axvline(mean[0], color=REJECTED)
        axes.text(
            mean[0] * 1.1,
            0.95,
            f"{mean[0]:.2f}\u00d7",
            transform=axes.get_xaxis_transform(),
            va="top",
        )
    axes.set_title("speedup, problems that both solve")


def _training(axes: Axes, series: Mapping[str, Sequence[tuple[int, float]]]) -> None:
    for name, colour in (("chosen", AFTER), ("rejected", REJECTED)):
        steps, values = zip(*series[f"logps/{name}"], strict=True)
        axes.plot(steps, values, color=colour, label=name)
    axes.legend(frameon=False)
    axes.set_xlabel("step")
    axes.set_title("log-probability in training")


def ablations(groups: Mapping[str, Mapping[str, Interval]], base: Interval, out: Path) -> None:
    """A panel for each group: pass@1 of its variants, and the base model's as a line."""
    with matplotlib.rc_context(STYLE):
        figure = Figure((11, 3.4 * math.ceil(len(groups) / 2)), layout="constrained")
        grid = figure.subplots(math.ceil(len(groups) / 2), 2, squeeze=False).flatten()
        for axes, (title, variants) in zip(grid, groups.items(), strict=False):
            for place, value in enumerate(variants.values()):
                _bar(axes, place, value, AFTER)
            axes.axhline(100 * base[0], color=REJECTED, label="base model")
            axes.set_xticks(range(len(variants)), list(variants), fontsize=8)
            axes.set_title(title)
            axes.set_ylabel("held-out pass@1, %")
            axes.set_ylim(0, 100)
        grid[0].legend(frameon=False, loc="upper left")
        for axes in grid[len(groups) :]:
            axes.set_visible(False)
        figure.savefig(out, format="png", dpi=130)


if __name__ == "__main__":
    loop(*map(Path, sys.argv[1:4]))
