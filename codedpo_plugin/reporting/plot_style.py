"""The look of all plots: colours, matplotlib settings, and SVG for an HTML page.

Figures are drawn without pyplot, so no window, no global figure list and no display are needed.
Only numbers and fixed texts are drawn, never text from the data. In an SVG the ink becomes
`currentColor` and the paper `var(--paper)`, so that the page's light or dark colours apply.

Importing this module imports matplotlib (half a second): do so where a plot is made.
"""

import io
import re
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

INK = "#24292f"
PAPER = "#fefdfc"

# From the palette of Okabe and Ito, which is distinguishable with all common colour blindness.
CHOSEN, REJECTED, RATIO, NEUTRAL = "#2f8fce", "#e69f00", "#009e73", "#56b4e9"

STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "svg.fonttype": "none",
}

WIDTH = 9.0  # inches; 864 CSS pixels


def svg(figure: Figure, label: str) -> str:
    """A figure as an `<svg>` element for a page that defines `--paper`; `label` is its alt text."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": label}):  # ids that differ between the figures
        figure.savefig(buffer, format="svg", transparent=True)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # the same names in every figure: ids must not repeat
    svg = svg.replace(INK, "currentColor").replace(PAPER, "var(--paper)")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def whole_numbers(axes: Axes) -> None:
    """Few ticks, at integers, on the vertical axis."""
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter("{x:,.0f}")


def placeholder(axes: Axes, text: str) -> None:
    """A text where there is nothing to draw."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=12)
