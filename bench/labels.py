"""Labels beside the points of a plot, at places where they cover neither a mark, nor a line, nor each other.

Around each point lie places in eight directions, near ones first. A label takes the first that is free, or else the
least bad one: covering a label or a mark is worse than crossing a line. Away from its point, a thin line leads to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure

SIZE = 8  # points
MARK = 4  # points from a mark's middle to its edge
DISTANCES = (6, 10, 15, 21, 28, 36, 45, 55)  # points from a mark's middle to its label
DIRECTIONS = [(x, y) for x in (1, -1, 0) for y in (1, -1, 0) if x or y]
GAP = 4  # points between two labels in one line, so that 5 beside 2 is not read as 52
LED = 10  # points from a mark from which on a line leads to the label
SAME = 9  # points between marks of one label that share it: one model on several runtimes
COVERS, CROSSES, LEAVES = 10, 1, 30  # how bad it is to cover a mark or label, to cross a line, to leave the axes


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


def label(figure: Figure, axes: Axes, points: Sequence[Point], front: Sequence[Point] = ()) -> bool:
    """Write the points' labels; ``front``: points that a stepped line joins. Says whether all of them are clear."""
    figure.draw_without_rendering()  # settles the layout
    renderer = figure.canvas.get_renderer()
    pixel = figure.dpi / 72
    marks = axes.transData.transform([(p.x, p.y) for p in points])
    inside = np.array(axes.get_window_extent(renderer).extents)
    taken, badness = map(list, zip(*_obstacles(axes, points, front, pixel), strict=True))
    labelled: dict[str, list[np.ndarray]] = {}
    written: list[np.ndarray] = []
    clear = True
    for p, mark in zip(points, marks, strict=True):
        others = labelled.setdefault(p.label, [])
        if any(np.hypot(*(mark - other)) < SAME * pixel for other in others):
            continue
        others.append(mark)
        size = _size(axes, renderer, p.label)
        places = np.array([_place(mark, size, x, y, far * pixel) for far in DISTANCES for x, y in DIRECTIONS])
        faults = _overlaps(places, np.array(taken)) @ np.array(badness)
        faults += LEAVES * ((places[:, :2] < inside[:2]) | (places[:, 2:] > inside[2:])).any(axis=1)
        best = int(faults.argmin())  # the first of the least
        clear &= not faults[best]
        place = places[best]
        led = DISTANCES[best // len(DIRECTIONS)] >= LED
        _write(axes, p, place, led)
        taken.append(place)
        badness.append(COVERS)
        if led:
            along = mark + np.linspace(0.2, 0.8, 7)[:, None] * (np.clip(mark, place[:2], place[2:]) - mark)
            line = np.hstack([along - pixel, along + pixel])
            clear &= not (written and _overlaps(line, np.array(written)).any())
            taken += list(line)
            badness += [CROSSES] * len(line)
        written.append(place)
    return clear


def _obstacles(
    axes: Axes, points: Sequence[Point], front: Sequence[Point], pixel: float
) -> Iterator[tuple[list[float], int]]:
    """Boxes (left, bottom, right, top) in pixels, of marks, their intervals and the line, and how bad covering is."""
    for p in points:
        at = axes.transData.transform([(p.x, p.y), (p.x_low, p.y_low), (p.x_high, p.y_high)])
        (x, y), (left, bottom), (right, top) = at
        yield [x - MARK * pixel, y - MARK * pixel, x + MARK * pixel, y + MARK * pixel], COVERS
        yield [x - pixel, bottom, x + pixel, top], CROSSES
        yield [left, y - pixel, right, y + pixel], CROSSES
    for a, b in pairwise(front):
        (x_a, y_a), (x_b, y_b) = axes.transData.transform([(a.x, a.y), (b.x, b.y)])
        yield [x_a, y_a - pixel / 2, x_b, y_a + pixel / 2], CROSSES
        yield [x_b - pixel / 2, y_a, x_b + pixel / 2, y_b], CROSSES


def _size(axes: Axes, renderer: RendererBase, words: str) -> np.ndarray:
    text = axes.text(0, 0, words, fontsize=SIZE, transform=None)
    box = text.get_window_extent(renderer)
    text.remove()
    return np.array([box.width + GAP * axes.figure.dpi / 72, box.height])


def _place(mark: np.ndarray, size: np.ndarray, x: int, y: int, far: float) -> np.ndarray:
    """The box of a label ``far`` from its mark in the direction (x, y)."""
    # A text at a corner looks further away than one straight above or beside the mark.
    towards = np.array([x, y]) * far * (0.7 if x and y else 1)
    corner = mark + towards + size * (np.array([x, y]) - 1) / 2
    return np.concatenate([corner, corner + size])


def _overlaps(places: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """(P, T) whether each place lies on each of the boxes taken."""
    place, other = places[:, None], taken[None]
    return ((place[..., :2] < other[..., 2:]) & (other[..., :2] < place[..., 2:])).all(axis=-1)


def _write(axes: Axes, point: Point, place: np.ndarray, led: bool) -> None:
    line = {"arrowstyle": "-", "linewidth": 0.7, "color": matplotlib.rcParams["axes.edgecolor"]}
    line |= {"shrinkA": 0, "shrinkB": MARK}
    axes.annotate(
        point.label,
        (point.x, point.y),
        place[:2] / (axes.figure.dpi / 72),
        textcoords="figure points",
        fontsize=SIZE,
        verticalalignment="bottom",
        arrowprops=line if led else None,
        in_layout=False,  # its place is counted from the layout as it is
    )
