"""Plots of extreme values."""

from codedpo_plugin.dataset import pair_plots
from codedpo_plugin.reporting import build_plots


def test_plots_of_extreme_values():
    pair_plots.as_svg([0, 1_000_000], [0], [1.1000001])
    build_plots.scores([0] * 25, {"1": 0})
    grid = [["passed"] * 300 for _ in range(200)]
    svg = build_plots.heat_map(
        grid, range(200), range(300), [True] * 300, {0: "chosen", 199: "rejected"}
    )
    assert len(svg) < 500_000, "cells are pixels, not paths"
    assert "currentColor" in svg
