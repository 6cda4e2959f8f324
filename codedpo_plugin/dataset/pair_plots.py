"""Plots of a dataset's pairs: lengths and speed ratios, for the dataset card and the report."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from codedpo_plugin.dataset.pair_statistics import read_pairs
from codedpo_plugin.reporting.plot_style import (
    CHOSEN,
    RATIO,
    REJECTED,
    STYLE,
    WIDTH,
    placeholder,
    svg,
    whole_numbers,
)


def write_png(dpo: Path, out: Path) -> None:
    """Write a PNG of an exported `dpo` config: lengths of the correctness pairs, speed ratios of
    the efficiency pairs.
    """
    numbers = read_pairs(dpo)
    with matplotlib.rc_context(STYLE):
        figure = _pairs_figure(
            numbers.chosen.values, numbers.rejected.values, numbers.ratios.values
        )
        figure.savefig(out, format="png", dpi=150)


def as_svg(chosen: Sequence[float], rejected: Sequence[float], ratios: Sequence[float]) -> str:
    """The same as SVG: lengths in characters, and seconds(rejected) / seconds(chosen)."""
    with matplotlib.rc_context(STYLE):
        return svg(_pairs_figure(chosen, rejected, ratios), "Lengths and speed ratios of the pairs")


def _pairs_figure(
    chosen: Sequence[float], rejected: Sequence[float], ratios: Sequence[float]
) -> Figure:
    figure = Figure((WIDTH, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.set_title("Lengths, correctness pairs")
    if chosen:
        series = {"chosen": (chosen, CHOSEN), "rejected": (rejected, REJECTED)}
        _histograms(left, series, "median {:,.0f} characters", "")
        left.set_xlabel("characters")
    else:
        placeholder(left, "no correctness pairs")
    right.set_title("Speed, efficiency pairs")
    if ratios:
        _histograms(right, {"": (ratios, RATIO)}, "median {:,.2f}\u00d7", "\u00d7")
        right.set_xlabel("seconds of rejected / seconds of chosen")
    else:
        placeholder(right, "no efficiency pairs")
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
    whole_numbers(axes)
    axes.set_ylim(top=axes.dataLim.ymax * 1.3)  # room for the legend
    axes.legend(loc="upper right", handlelength=1.6)


def _log_ticks(low: float, high: float) -> list[float]:
    """Round numbers between the ends: the finest series whose labels do not overlap."""
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
