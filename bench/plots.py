"""Plots as inline SVG: accuracy against latency and against size, and how latencies are spread.

Text stays text (selectable, and in the page's font), and the colours are CSS variables of the page, so that one drawing
serves a light and a dark page. The same results give the same bytes: no date, fixed ids.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from compress.bench import labels, words
from compress.bench.results import Variant

FAR = 20  # points below the best at which a variant, such as a pruned network before any training, is told, not drawn
WIDTH = 4.7  # inches; small, so that a phone's width leaves the labels readable
NAMED = 5  # distinct labels from beyond which a plot numbers them: the same for a run's latencies and its sizes
LINE = 72  # characters of a key that fit the width
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


@dataclass(frozen=True)
class Point:
    """Something to plot: a cost (less is better) with its spread, an accuracy with its interval, and a label."""

    x: float
    x_low: float
    x_high: float
    y: float
    y_low: float
    y_high: float
    label: str
    series: int


def accuracy_latency(variants: Iterable[Variant], *, name: str = "latency") -> str | None:
    """SVG of accuracy against median latency, or None for fewer than two measured variants."""
    known = [v for v in variants if v.latency and v.accuracy]
    scale, unit = words.unit_of_times(v.latency.p50 for v in known)

    def spread(v: Variant) -> tuple[float, float, float]:
        interval = v.latency.interval
        low, high = (interval.low, interval.high) if interval else (v.latency.p50, v.latency.p50)
        return v.latency.p50, low, high

    return _pareto(known, spread, scale, f"median latency, {unit} (95 % interval)", name)


def accuracy_size(variants: Iterable[Variant], *, name: str = "size") -> str | None:
    """SVG of accuracy against file size, or None for fewer than two variants with both."""
    known = [v for v in variants if v.size and v.accuracy]
    scale, unit = words.unit_of_sizes(v.size for v in known)
    return _pareto(known, lambda v: (v.size, v.size, v.size), scale, f"file, {unit}", name)


def latency_spread(variants: Iterable[Variant], *, name: str = "spread") -> str | None:
    """SVG of how single calls are spread: bars from 1 to 99, 10 to 90 and 25 to 75 % of calls, and the median.

    One row a variant, in the order given; None where there are no percentiles.
    """
    known = [v for v in variants if v.latency and len(v.latency.percentiles) == 101]
    if not known:
        return None
    scale, unit = words.unit_of_times(v.latency.p50 for v in known)
    runtimes = list(dict.fromkeys(v.runtime for v in known))
    rows = np.arange(len(known))
    times = np.array([v.latency.percentiles for v in known]) / scale
    colours = [SERIES[runtimes.index(v.runtime) % len(SERIES)] for v in known]
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(height=1.0 + 0.24 * len(known))
        for outer, thickness in ((1, 0.1), (10, 0.35), (25, 0.7)):
            low, high = times[:, outer], times[:, 100 - outer]
            axes.barh(rows, high - low, left=low, height=thickness, color=colours, alpha=0.55 if outer > 1 else 1)
        axes.scatter(times[:, 50], rows, marker="|", s=60, color=INK, zorder=3)
        several = len(runtimes) > 1
        axes.set_yticks(rows, [f"{words.step(v)}, {v.runtime}" if several else words.step(v) for v in known])
        axes.use_sticky_edges = False
        axes.grid(False, axis="y")
        axes.invert_yaxis()
        label = f"time of one call, {unit}" + log_if_wide(axes, times[:, [1, 99]])
        axes.set_xlabel(label)
        return as_svg(figure, name, f"Spread of the {label}: 1 to 99, 10 to 90, 25 to 75 % of calls, median")


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """The points than which none is both cheaper and as accurate, nor as cheap and more accurate; cheapest first."""
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.x, -p.y)):
        if not front or point.y > front[-1].y:
            front.append(point)
    return front


def _pareto(
    variants: list[Variant],
    spread: Callable[[Variant], tuple[float, float, float]],
    scale: float,
    label: str,
    name: str,
) -> str | None:
    if len(variants) < 2:
        return None
    runtimes = list(dict.fromkeys(v.runtime for v in variants))
    points = []
    for v in variants:
        x = [value / scale for value in spread(v)]
        y = [100 * value for value in (v.accuracy.value, v.accuracy.interval.low, v.accuracy.interval.high)]
        points.append(Point(*x, *y, words.step(v), runtimes.index(v.runtime)))
    points, ruined = _usable(points)
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure()
        front = pareto_front(points)
        axes.step([p.x for p in front], [p.y for p in front], where="post", color=FAINT, linewidth=1.2, zorder=1)
        for index, runtime in enumerate(runtimes):
            own = [p for p in points if p.series == index]
            x, y = np.array([p.x for p in own]), np.array([p.y for p in own])
            axes.errorbar(
                x, y, fmt=MARKERS[index % len(MARKERS)], color=SERIES[index % len(SERIES)], label=runtime,
                xerr=(x - [p.x_low for p in own], [p.x_high for p in own] - x),
                yerr=(y - [p.y_low for p in own], [p.y_high for p in own] - y), elinewidth=1, markersize=6,
            )  # fmt: skip
        axes.margins(x=0.12, y=0.15)
        label += log_if_wide(axes, np.array([p.x for p in points]))
        axes.set(xlabel=label, ylabel="accuracy, % (95 % interval)")
        if ruined:
            axes.set_title(f"far below: {ruined}", fontsize=8, loc="right")
        axes.yaxis.set_major_locator(MaxNLocator(6))
        if len(runtimes) > 1:
            figure.legend(loc="outside upper left", ncols=len(runtimes), fontsize=8, handletextpad=0.2)
        few = len({p.label for p in points}) <= NAMED
        if not (few and labels.label(figure, axes, points, front)):
            points, front = _numbered(figure, axes, points, front)
            labels.label(figure, axes, points, front)
        return as_svg(figure, name, f"Accuracy against {label}; up and left is better, the line joins the best")


def _numbered(figure: Figure, axes: Axes, points: list[Point], front: list[Point]) -> tuple[list[Point], list[Point]]:
    """Numbers for labels where names do not fit, and a key to them below the plot."""
    for text in list(axes.texts):
        text.remove()
    numbers = {label: str(number) for number, label in enumerate(dict.fromkeys(p.label for p in points), start=1)}
    lines = [f"{number}  {label}" for label, number in numbers.items()]
    columns = max(1, LINE // (max(map(len, lines)) + 3))
    unmarked = [Line2D([], [], linestyle="none")] * len(lines)
    figure.legend(
        unmarked, lines, loc="outside lower left", ncols=columns, fontsize=labels.SIZE, handlelength=0, handletextpad=0
    )
    figure.set_figheight(figure.get_figheight() + 0.17 * math.ceil(len(lines) / columns))
    return tuple([replace(p, label=numbers[p.label]) for p in which] for which in (points, front))


def _usable(points: list[Point]) -> tuple[list[Point], str]:
    """The points worth comparing, and in words those so inaccurate that they would press all others onto one line."""
    best = max(p.y for p in points)
    near = [p for p in points if p.y >= best - FAR]
    if len(near) < 2 or len(near) == len(points):
        return points, ""
    far = {p.label: f"{p.label} {p.y:.1f} %" for p in points if p.y < best - FAR}
    return near, ", ".join(far.values())


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
