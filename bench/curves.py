"""How single calls are spread, as curves: the share of calls that took at most so long (the empirical distribution).

They show what bars hide: two speeds, steps, long tails. Drawn as the other plots are (see ``bench/drawing.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle

import matplotlib
import numpy as np
from matplotlib.lines import Line2D

from compress.bench import words
from compress.bench.drawing import INK, SERIES, STYLE, as_svg, log_if_wide, new_figure

DASHES = ("-", "--", ":", "-.")
"""The most different first: dashes and dots with dashes look alike where lines are short."""
SHOWN = 99
"""Percent of calls that the axis of time reaches to; one slow call in a hundred would press all others together."""


@dataclass(frozen=True)
class Curve:
    """``percentiles``: seconds, the 0th, 1st ... 100th. ``series``: which colour; ``dash``: which kind of line."""

    label: str
    percentiles: Sequence[float]
    series: int
    dash: int = 0


@dataclass(frozen=True)
class Key:
    """A line of a legend: a colour (None: that of text), or a kind of line."""

    label: str
    series: int | None = None
    dash: int = 0


def distribution(curves: Sequence[Curve], *, keys: Sequence[Sequence[Key]] = (), name: str = "curves") -> str | None:
    """SVG of the share of calls by their time; None for no curve.

    ``keys``: groups of the legend, each beginning a column of its own; by default the curves' labels.
    """
    if not curves:
        return None
    columns, entries = _legend(keys or [[Key(curve.label, curve.series, curve.dash) for curve in curves]])
    scale, unit = words.unit_of_times(curve.percentiles[50] for curve in curves)
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(height=2.6 + 0.2 * -(-len(entries) // columns))
        shares = np.arange(101)
        for curve in curves:
            times = np.asarray(curve.percentiles) / scale
            style = DASHES[curve.dash % len(DASHES)]
            axes.plot(times, shares, style, color=_colour(curve.series), linewidth=1.6)
        shown = np.array([[curve.percentiles[0], curve.percentiles[SHOWN]] for curve in curves]) / scale
        low, high = shown.min(), shown.max()
        axes.set_xlim(low * 0.93, high * 1.08)  # first: it decides where there are ticks
        label = f"time of one call, {unit}" + log_if_wide(axes, shown)
        axes.set(xlabel=label, ylabel="calls, %", ylim=(0, 101))  # a line at 100 is not cut in half
        lines, names = zip(*entries, strict=True)
        figure.legend(lines, names, loc="outside upper left", ncols=columns, fontsize=8, handlelength=2.2)
        return as_svg(figure, name, f"Share of calls that took at most so long, by {label}")


def _legend(groups: Sequence[Sequence[Key]]) -> tuple[int, list[tuple[Line2D, str]]]:
    """Columns, and entries to fill them, one column after the other."""
    longest = max(len(key.label) for group in groups for key in group)
    count = sum(map(len, groups))
    columns = min(count, 4 if longest < 13 else 3 if longest < 18 else 2 if longest < 34 else 1)
    rows = -(-count // columns)
    entries: list[tuple[Line2D, str]] = []
    for group in groups:
        entries += [(Line2D([], [], linestyle="none"), "")] * (-len(entries) % rows)
        for key in group:
            style = DASHES[key.dash % len(DASHES)]
            entries.append((Line2D([], [], color=_colour(key.series), linestyle=style), key.label))
    return -(-len(entries) // rows), entries


def _colour(series: int | None) -> str:
    return INK if series is None else SERIES[series % len(SERIES)]


def colours(names: Iterable[str]) -> dict[str, int]:
    """A colour for each name, in their order."""
    return dict(zip(names, cycle(range(len(SERIES))), strict=False))
