"""A change in the mean of a stream of numbers: confidence, or errors where somebody tells the true labels.

ADWIN and Page-Hinkley look at every value and compare the stream with its own past. A change one of them reports counts
only if the next full window still lies off in the same direction, by more than four standard errors of the difference;
the alarm ends when two windows in a row have come back to within that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edge_runtime.watch.adwin import Adwin
from edge_runtime.watch.alarms import Alarm, Alarms, Window
from edge_runtime.watch.page_hinkley import PageHinkley

ERRORS = 4.0
"""Standard errors that a confirming window must be off by."""


@dataclass(frozen=True)
class Past:
    """The stream before a change: mean and number of its last values, the last of them, and where the mean went."""

    mean: float
    count: int
    last: int
    direction: int


class Sequential:
    """One detector on one stream, with windows of ``size`` values. ``rising``: only a rise is an alarm."""

    def __init__(
        self,
        name: str,
        part: str,
        detector: Adwin | PageHinkley,
        size: int,
        alarms: Alarms,
        version: str,
        *,
        what: str = "inputs changed",
        rising: bool = False,
    ) -> None:
        self.name, self._part, self._detector, self.size = name, part, detector, size
        self._alarms, self._version, self._what, self._rising = alarms, version, what, rising
        self._past: Past | None = None
        self._suspect: Window | None = None  # the window in which the detector fired
        self._fired = False
        self._within = 0  # windows in a row that were back to the past
        self._clear()

    def _clear(self) -> None:
        self._count, self._sum, self._squares = 0, 0.0, 0.0
        self._first, self._begin = 0, 0.0

    def add(self, values: Sequence[float], first: int, last: int, now: float) -> None:
        """Finite values of observations ``first`` to ``last``, spread evenly over them."""
        step = (last - first + 1) / max(len(values), 1)
        for index, value in enumerate(values):
            number = first + int(index * step)
            if not self._count:
                self._first, self._begin = number, now
            self._count += 1
            self._sum += value
            self._squares += value * value
            if self._detector.update(value) and self._past is None:
                self._fire(number)
            if self._count == self.size:
                window = Window(self._first, last if index == len(values) - 1 else number, self.size, self._begin, now)
                self._close(window)
                self._clear()

    def _fire(self, number: int) -> None:
        detector = self._detector
        if isinstance(detector, Adwin):
            mean, _, count = detector.before
            direction = 1 if detector.mean > mean else -1
        else:
            (mean, count), direction = detector.before, detector.direction
        if count and (direction > 0 or not self._rising):
            self._past, self._fired = Past(mean, count, number, direction), True

    def _close(self, window: Window) -> None:
        past = self._past
        if past is None:
            return
        if self._fired:  # the change lies inside this window; the next one has to confirm it
            self._fired, self._suspect = False, window
            return
        mean = self._sum / window.samples
        variance = max(self._squares / window.samples - mean * mean, 1e-12)
        bound = ERRORS * math.sqrt(variance * (1 / window.samples + 1 / past.count))
        off = (mean - past.mean) * past.direction
        if self.name in self._alarms:
            self._within = self._within + 1 if off <= bound else 0
            if self._within == 2:
                self._alarms.end(self.name, window.end)
                self._past = None
        elif off > bound and self._suspect is not None:
            self._within = 0
            self._alarms.set(self._alarm(past, off, bound, window))
        else:
            self._past = None

    def _alarm(self, past: Past, off: float, bound: float, window: Window) -> Alarm:
        return Alarm(
            detector=self.name,
            what=self._what,
            part=f"{self._part} {'rose' if past.direction > 0 else 'fell'} from a mean of {past.mean:.4g}",
            statistic=off,
            threshold=bound,
            windows=(self._suspect, window),
            reference=f"the {past.count} values before, up to about observation {past.last}",
            version=self._version,
        )

    def state(self) -> dict[str, Any]:
        return {
            "detector": self._detector.state(),
            "past": None if self._past is None else asdict(self._past),
            "suspect": None if self._suspect is None else asdict(self._suspect),
            "fired": self._fired,
            "within": self._within,
            "open": [self._count, self._sum, self._squares, self._first, self._begin],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Raises KeyError, TypeError or ValueError for what :meth:`state` did not make."""
        count, total, squares, first, begin = state["open"]
        if not 0 <= int(count) < self.size or not all(map(math.isfinite, (total, squares, begin))):
            raise ValueError(f"an open window of {count} values")
        past = None if state["past"] is None else Past(**state["past"])
        suspect = None if state["suspect"] is None else Window(**state["suspect"])
        self._detector.restore(state["detector"])
        self._past, self._suspect = past, suspect
        self._fired, self._within = bool(state["fired"]), int(state["within"])
        self._count, self._sum, self._squares = int(count), float(total), float(squares)
        self._first, self._begin = int(first), float(begin)
