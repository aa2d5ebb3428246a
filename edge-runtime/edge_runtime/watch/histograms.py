"""Durations in buckets of fixed relative width: every call counted in a few hundred nanoseconds, in 2 kB for ever.

Eight equal buckets in every doubling from 1 microsecond to 134 seconds, the layout of HdrHistogram: a quantile is
off by at most one part in eight, and by less than half that on average. Beyond either end the outermost bucket counts.
"""

from __future__ import annotations

import math

_STEPS = 8
_FIRST = -20
"""The lowest bucket begins at 2**-20 s."""
_DOUBLINGS = 27
SIZE = _STEPS * _DOUBLINGS


class Durations:
    """Not locked: whoever adds from several threads locks. ``total`` is in seconds."""

    def __init__(self) -> None:
        self.counts = [0] * SIZE
        self.count = 0
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration. Negative ones and not-a-number count as the shortest, infinite ones as the longest."""
        if not seconds > 0:
            place = seconds = 0
        elif seconds == math.inf:
            place, seconds = SIZE - 1, edge(SIZE)
        else:
            fraction, exponent = math.frexp(seconds)  # fraction in [0.5, 1)
            place = (exponent - 1 - _FIRST) * _STEPS + int((fraction - 0.5) * 2 * _STEPS)
            place = 0 if place < 0 else min(place, SIZE - 1)
        self.counts[place] += 1
        self.count += 1
        self.total += seconds

    def quantile(self, q: float) -> float | None:
        """Seconds below which the share ``q`` of all durations lies, within a bucket by proportion; None when empty."""
        if not self.count:
            return None
        rank, before = q * self.count, 0
        for place, count in enumerate(self.counts):
            if count and before + count >= rank:
                share = max(rank - before, 0) / count
                return edge(place) + share * (edge(place + 1) - edge(place))
            before += count
        return edge(SIZE)

    def state(self) -> dict[str, object]:
        used = {str(place): count for place, count in enumerate(self.counts) if count}
        return {"counts": used, "total": self.total}

    def restore(self, state: dict[str, object]) -> None:
        """Raises KeyError, TypeError or ValueError for what :meth:`state` did not make."""
        counts, total = [0] * SIZE, float(state["total"])
        for place, count in state["counts"].items():
            if not 0 <= int(place) < SIZE or int(count) < 0:
                raise ValueError(f"bucket {place} holds {count}")
            counts[int(place)] = int(count)
        if not math.isfinite(total):
            raise ValueError(f"a total of {total} seconds")
        self.counts, self.count, self.total = counts, sum(counts), total


def edge(place: int) -> float:
    """Seconds at which bucket ``place`` begins."""
    return math.ldexp(1 + (place % _STEPS) / _STEPS, _FIRST + place // _STEPS)
