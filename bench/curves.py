"""How single calls are spread, as curves: the share of calls that took at most so long (the empirical distribution).

Beside the bars of :func:`compress.bench.plots.latency_spread` it shows what bars hide: two speeds, steps, long tails.
Drawn as the other plots are (see ``bench/plots.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle

import matplotlib
import numpy as np

from compress.bench import words
from compress.bench.plots import _STYLE, SERIES, _figure, _log_if_wide, _svg
from compress.bench.results import Variant

DASHES = ("-", "--", "-.", ":")
SHOWN = 99
"""Percent of calls that the axis of time reaches to; one slow call in a hundred would press all others together."""


@dataclass(frozen=True)
class Curve:
    """``percentiles``: seconds, the 0th, 1st ... 100th. ``series``: which colour; ``dash``: which kind of line."""

    label: str
    percentiles: Sequence[float]
    series: int
    dash: int = 0


def latency_curves(variants: Iterable[Variant], *, name: str = "curves") -> str | None:
    """Of a run's variants on one target: a colour for each step, a kind of line for each runtime."""
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
    return distribution(curves, name=name)


def distribution(curves: Sequence[Curve], *, name: str = "curves") -> str | None:
    """SVG of the share of calls by their time; None for no curve."""
    if not curves:
        return None
    scale, unit = words.unit_of_times(curve.percentiles[50] for curve in curves)
    longest = max(len(curve.label) for curve in curves)
    columns = min(len(curves), 3 if longest < 18 else 2 if longest < 34 else 1)
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(height=2.6 + 0.2 * -(-len(curves) // columns))
        shares = np.arange(101)
        for curve in curves:
            times = np.asarray(curve.percentiles) / scale
            style = DASHES[curve.dash % len(DASHES)]
            axes.plot(times, shares, style, color=SERIES[curve.series % len(SERIES)], linewidth=1.6, label=curve.label)
        shown = np.array([[curve.percentiles[0], curve.percentiles[SHOWN]] for curve in curves]) / scale
        low, high = shown.min(), shown.max()
        axes.set_xlim(low * 0.93, high * 1.08)  # first: it decides where there are ticks
        label = f"time of one call, {unit}" + _log_if_wide(axes, shown)
        axes.set(xlabel=label, ylabel="calls, %", ylim=(0, 100))
        figure.legend(loc="outside upper left", ncols=columns, fontsize=8, handlelength=2.2)
        return _svg(figure, name, f"Share of calls that took at most so long, by {label}")


def colours(names: Iterable[str]) -> dict[str, int]:
    """A colour for each name, in their order."""
    return dict(zip(names, cycle(range(len(SERIES))), strict=False))
