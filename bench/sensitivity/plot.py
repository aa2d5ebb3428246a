"""The layers of a network, by how much harm int8 does in each and how much time it saves there.

`noise_latency` shows where the layers lie: up and left are those to leave in float. `rows` gives each its line, with
the intervals. Layers are numbered by harm, as in the table. Drawn as the other plots are (see ``bench/drawing.py``).
"""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from compress.bench import labels
from compress.bench.drawing import FAINT, MARKERS, SERIES, STYLE, WIDTH, as_svg, new_figure
from compress.bench.labels import Point
from compress.bench.sensitivity.ranking import Ranking, Sensitivity

NAMED = 3
"""Layers whose name stands beside the mark, the most harmful and those to leave in float; the others have a number."""

KINDS = ("no sure harm", "surely costs accuracy", "surely slower in int8")
COLOURS = (SERIES[0], SERIES[1], SERIES[3])
TIME = "time saved by its int8, %"


def noise_latency(ranking: Ranking, *, name: str = "noise") -> str | None:
    """SVG of the noise that each layer's int8 puts into the logits, against the time it saves; None: not timed."""
    # A layer without noise, such as one of zeros, has no place on the axis.
    layers = [(rank, layer) for rank, layer in enumerate(ranking.layers, start=1) if layer.sqnr is not None]
    if ranking.latency is None or not layers:
        return None
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(height=3.8)
        points = [_point(rank, layer) for rank, layer in layers]
        axes.axvline(0, color=FAINT, linewidth=1.2, zorder=1)
        for kind, words in enumerate(KINDS):
            own = [p for p in points if p.series == kind]
            if own:
                x = np.array([p.x for p in own])
                spread = (x - [p.x_low for p in own], [p.x_high for p in own] - x)
                y = [p.y for p in own]
                style = {"fmt": MARKERS[kind], "color": COLOURS[kind], "elinewidth": 0.8, "markersize": 5}
                axes.errorbar(x, y, xerr=spread, label=words, **style)
        axes.margins(x=0.15, y=0.12)
        axes.invert_yaxis()
        axes.set(xlabel=f"{TIME} (95 % interval)", ylabel="signal to noise of the logits, dB (up: more harm)")
        figure.legend(loc="outside upper left", ncols=3, fontsize=8, handletextpad=0.2)
        labels.label(figure, axes, points)
        return as_svg(figure, name, f"Noise in the logits against time saved, by layer, {ranking.runtime}")


def rows(ranking: Ranking, *, name: str = "rows") -> str:
    """SVG with a line for every layer: the accuracy that it loses alone in int8, and the time that saves."""
    layers, timed = ranking.layers, ranking.latency is not None
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH * 1.5, 1.0 + 0.2 * len(layers)), layout="constrained")
        panels = np.atleast_1d(figure.subplots(1, 2 if timed else 1, sharey=True))
        _intervals(panels[0], ranking, [(v.loss.value, v.loss.low, v.loss.high) for v in layers])
        panels[0].set_xlabel("accuracy lost alone in int8, points")
        panels[0].set_yticks(
            range(len(layers)), [f"{layer.name}  {i}" for i, layer in enumerate(layers, 1)], fontsize=8
        )
        panels[0].invert_yaxis()
        if timed:
            latencies = [layer.latency for layer in layers]
            _intervals(panels[1], ranking, [(v.value - 1, v.low - 1, v.high - 1) for v in latencies])
            panels[1].set_xlabel(TIME)
        return as_svg(figure, name, f"Accuracy lost and time saved by layer, 95 % intervals, {ranking.runtime}")


def _intervals(axes: Axes, ranking: Ranking, values: list[tuple[float, float, float]]) -> None:
    axes.axvline(0, color=FAINT, linewidth=1.2, zorder=1)
    axes.grid(False, axis="y")
    for row, (layer, (value, low, high)) in enumerate(zip(ranking.layers, values, strict=True)):
        kind = _kind(layer)
        spread = [[100 * (value - low)], [100 * (high - value)]]
        axes.errorbar(100 * value, row, xerr=spread, fmt=MARKERS[kind], color=COLOURS[kind], elinewidth=1, markersize=4)


def _point(rank: int, layer: Sensitivity) -> Point:
    """Time saved in percent of all int8's: what the network takes longer with that layer in float."""
    x, low, high = (100 * (value - 1) for value in (layer.latency.value, layer.latency.low, layer.latency.high))
    kind = _kind(layer)
    label = f"{rank} {layer.name}" if rank <= NAMED or (kind and rank <= 3 * NAMED) else str(rank)
    return Point(x, low, high, layer.sqnr, layer.sqnr, layer.sqnr, label, kind)


def _kind(layer: Sensitivity) -> int:
    return 1 if layer.costs else 2 if layer.slower else 0
