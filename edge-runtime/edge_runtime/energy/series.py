"""From readings to joules between two moments, and to what is missing between them.

Power is integrated by trapezoids: a straight line from one reading to the next. A counter's reading at any moment is
interpolated between the moments at which it was seen to change, for in between it shows an old value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from edge_runtime.energy.base import INSTANT, Sensor

GAP = 3.0
"""Between two readings, this many times the usual distance is a gap."""


@dataclass(frozen=True)
class Series:
    """``at`` (n,): seconds, ascending; ``values`` (n, rails): watts, or joules when ``counts``; ``resets``: seconds at
    which a counter began anew; ``distance``: the usual seconds between two readings."""

    at: np.ndarray
    values: np.ndarray
    counts: bool
    resets: tuple[float, ...]
    distance: float

    @classmethod
    def of(
        cls,
        sensor: Sensor,
        at: Sequence[float],
        values: Sequence[tuple[float, ...]],
        resets: Sequence[float] = (),
    ) -> Series:
        """Of what a sensor has said. Readings of a slowly updated counter that repeat the one before are left out, but
        for the first after a reset."""
        times, table = np.array(at, float), np.array(values, float).reshape(len(at), len(sensor.rails))
        order = np.argsort(times, kind="stable")
        times, table = times[order], table[order]
        interval = sensor.resolution.interval
        if sensor.counts and interval > INSTANT and len(times):
            changed = np.append(True, np.any(np.diff(table, axis=0) != 0, axis=1))
            anew = np.append(True, np.diff(np.searchsorted(np.sort(resets), times)) != 0)
            times, table = times[changed | anew], table[changed | anew]
        return cls(times, table, sensor.counts, tuple(resets), max(interval, sensor.period))

    def joules(self, start: float, end: float) -> np.ndarray:
        """(rails,) joules from ``start`` to ``end``. NaN without a reading, or across a reset."""
        if not len(self.at) or any(start <= reset <= end for reset in self.resets):
            return np.full(self.values.shape[1], np.nan)
        edges = np.stack([self._value(start), self._value(end)])
        if self.counts:
            return edges[1] - edges[0]
        inside = (self.at > start) & (self.at < end)
        times = np.concatenate([[start], self.at[inside], [end]])
        watts = np.concatenate([edges[:1], self.values[inside], edges[1:]])
        return np.sum((watts[1:] + watts[:-1]) / 2 * np.diff(times)[:, None], axis=0)

    def readings(self, start: float, end: float) -> int:
        """How many lie between."""
        return int(np.count_nonzero((self.at >= start) & (self.at <= end)))

    def gaps(self, start: float, end: float) -> list[tuple[float, float]]:
        """(seconds after ``start``, seconds) of every stretch without a reading. Within what is measured a counter has
        none, for it goes on counting; only its readings at the two ends can be missing."""
        times = np.concatenate([[-np.inf], self.at, [np.inf]])
        found = []
        for before, after in pairwise(times):
            low, high = max(before, start), min(after, end)
            first_or_last = np.isinf(after - before)
            usual = high - low <= self.distance if first_or_last else after - before <= GAP * self.distance
            counted = self.counts and before >= start and after <= end
            if high > low and not usual and not counted:
                found.append((float(low - start), float(high - low)))
        return found

    def _value(self, moment: float) -> np.ndarray:
        return np.array([np.interp(moment, self.at, column) for column in self.values.T])
