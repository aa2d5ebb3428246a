"""Drawings as inline SVG, all in one look.

Text stays text (selectable, and in the page's font), and the colours are CSS variables of the page, so that one drawing
serves a light and a dark page. The same results give the same bytes: no date, fixed ids.
"""

from __future__ import annotations

import io
import re

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

WIDTH = 4.7  # inches; small, so that a phone's width leaves the labels readable
# Each colour of a drawing stands for a variable which the page defines, light and dark. Any distinct values would do.
INK, FAINT = "#010203", "#040506"
SERIES = ("#010a01", "#020a02", "#030a03", "#040a04", "#050a05", "#060a06")
VARIABLES = {INK: "var(--ink)", FAINT: "var(--faint)"} | {c: f"var(--series-{i})" for i, c in enumerate(SERIES)}
MARKERS = ("o", "s", "^", "D", "v", "P")
STYLE = {
    "svg.fonttype": "none", "svg.hashsalt": "compress", "font.size": 9, "text.parse_math": False,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": FAINT, "xtick.color": INK, "ytick.color": INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": FAINT, "grid.alpha": 0.35,
    "legend.frameon": False, "figure.facecolor": "none", "axes.facecolor": "none",
}  # fmt: skip


def new_figure(height: float = 3.3) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)  # measures text
    return figure, figure.add_subplot()


def log_if_wide(axes: Axes, values: np.ndarray) -> str:
    """Give costs that differ more than fivefold a logarithmic axis with plain numbers; says so for the label."""
    if values.max() <= 5 * values.min():
        return ""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    ticks = [m * 10.0**e for e in range(-9, 12) for m in (1, 2, 5) if low <= m * 10.0**e <= high]
    ticks = ticks if len(ticks) < 8 else ticks[::3]
    axes.set_xticks(ticks, [f"{tick:.12g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    return ", log"


def as_svg(figure: Figure, name: str, title: str) -> str:
    """The figure as an SVG element with ids of its own, the page's colours, and a title for those who cannot see it."""
    out = io.StringIO()
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(out, format="svg", metadata=metadata, transparent=True)
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'\b(id="|href="#|url\(#)', rf"\1{name}-", svg)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, variable)
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)  # it would style the whole page
    svg = re.sub(r"font-family: [^;]*; ", "", svg)
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{title}" stroke-linejoin="round" ', 1)
