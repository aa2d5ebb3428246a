"""Plots of a run: accuracy against latency and against size, and how latencies are spread, as bars and as curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from compress.bench import labels, words
from compress.bench.curves import Curve, Key, distribution
from compress.bench.drawing import FAINT, INK, MARKERS, SERIES, STYLE, as_svg, log_if_wide, new_figure
from compress.bench.labels import Point
from compress.bench.run.results import Variant

FAR = 20  # points below the best at which a variant, such as a pruned network before any training, is told, not drawn
NAMED = 5  # distinct labels from beyond which a plot numbers them: the same for a run's latencies and its sizes
LINE = 72  # characters of a key that fit the width


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


def latency_curves(variants: Iterable[Variant], *, name: str = "curves") -> str | None:
    """Of a run's variants on one target: a colour for each step, a kind of line for each runtime. The legend names
    these, and not every pair of them: of four steps on three runtimes it has seven lines instead of twelve."""
    known = [v for v in variants if v.latency and len(v.latency.percentiles) == 101]
    runtimes = list(dict.fromkeys(v.runtime for v in known))
    steps = list(dict.fromkeys(words.step(v) for v in known))
    curves = [
        Curve(
            f"{words.step(v)}, {v.runtime}" if len(runtimes) > 1 else words.step(v),
            v.latency.percentiles,
            steps.index(words.step(v)),
            runtimes.index(v.runtime),
        )
        for v in known
    ]
    crossed = len(runtimes) > 1 and len(steps) > 1
    keys = [
        [Key(step, series) for series, step in enumerate(steps)],
        [Key(runtime, dash=dash) for dash, runtime in enumerate(runtimes)],
    ]
    return distribution(curves, keys=keys if crossed else (), name=name)


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
