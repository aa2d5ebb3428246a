"""Page-Hinkley: has the mean of a stream changed? A cumulative sum of deviations from the mean so far (Page 1954).

The sum falls by ``delta`` with every value; when it has risen by more than ``threshold`` above its lowest point the
mean has gone up, and mirrored down. The same recurrences, in the same order, as ``river.drift.PageHinkley``, which the
tests hold it to value by value.
"""

from __future__ import annotations

from typing import Any

import numpy as np

DELTA = 0.25
"""For standardised values: changes smaller than this many standard deviations do not matter."""
STREAM = 10_000
"""Values among which a calibrated detector raises a false alarm with a probability of one in a hundred."""
_STREAMS = 400


class PageHinkley:
    """``update(value)`` returns whether a change shows now; after one it starts anew. O(1) in time and memory.

    ``alpha`` forgets: the sums are multiplied by it before each value. After a change ``direction`` is its sign, and
    ``before`` the mean and number of the values up to where the sum was lowest (highest): where the change began.
    """

    def __init__(
        self, delta: float = 0.005, threshold: float = 50.0, alpha: float = 1 - 0.0001, least: int = 30
    ) -> None:
        self.delta, self.threshold, self.alpha, self.least = delta, threshold, alpha, least
        self.direction = 0
        self.before = (0.0, 0)
        self._start()

    def _start(self) -> None:
        self.count = 0
        self.mean = 0.0
        self._up = self._down = 0.0
        self._lowest, self._highest = float("inf"), -1.0
        self._at_lowest = self._at_highest = (0.0, 0)

    def update(self, value: float) -> bool:
        self.count += 1
        self.mean += (value - self.mean) / self.count
        deviation = value - self.mean
        self._up = self.alpha * self._up + deviation - self.delta
        self._down = self.alpha * self._down + deviation + self.delta
        if self._up < self._lowest:
            self._lowest, self._at_lowest = self._up, (self.mean, self.count)
        if self._down > self._highest:
            self._highest, self._at_highest = self._down, (self.mean, self.count)
        if self.count < self.least:
            return False
        risen, fallen = self._up - self._lowest, self._highest - self._down
        if risen <= self.threshold and fallen <= self.threshold:
            return False
        self.direction = 1 if risen > self.threshold else -1
        self.before = self._at_lowest if self.direction > 0 else self._at_highest
        self._start()
        return True

    def state(self) -> dict[str, Any]:
        lowest = None if self._lowest == float("inf") else self._lowest
        sums = [self.mean, self._up, self._down, self._highest]
        at = [list(self._at_lowest), list(self._at_highest)]
        return {"count": self.count, "sums": sums, "lowest": lowest, "at": at}

    def restore(self, state: dict[str, Any]) -> None:
        """Raises KeyError, TypeError or ValueError for what :meth:`state` did not make."""
        lowest = float("inf") if state["lowest"] is None else float(state["lowest"])
        mean, up, down, highest = (float(number) for number in state["sums"])
        at_lowest, at_highest = ((float(value), int(count)) for value, count in state["at"])
        if not np.isfinite([mean, up, down, highest, at_lowest[0], at_highest[0]]).all() or np.isnan(lowest):
            raise ValueError("not a state of Page-Hinkley")
        self.count, self.mean, self._up, self._down = int(state["count"]), mean, up, down
        self._lowest, self._highest, self._at_lowest, self._at_highest = lowest, highest, at_lowest, at_highest


def calibrate(values: np.ndarray, seed: int) -> dict[str, Any]:
    """Settings for standardised values (N,): the threshold that a stream of ``STREAM`` draws of them crosses with a
    probability of 1 %. All streams advance together, so this is some ten thousand steps of numpy."""
    random = np.random.RandomState(seed)
    up = np.zeros(_STREAMS)
    down, mean, lowest, highest, farthest = up.copy(), up.copy(), up.copy(), up.copy(), up.copy()
    for block in range(STREAM // 1000):
        drawn = values[random.randint(0, len(values), (1000, _STREAMS))]
        for step in range(1000):
            count = 1000 * block + step + 1
            mean += (drawn[step] - mean) / count
            deviation = drawn[step] - mean
            up += deviation - DELTA
            down += deviation + DELTA
            np.minimum(lowest, up, out=lowest)
            np.maximum(highest, down, out=highest)
            np.maximum(farthest, np.maximum(up - lowest, highest - down), out=farthest)
    return {"delta": DELTA, "threshold": float(f"{np.quantile(farthest, 0.99):.6g}"), "alpha": 1.0, "stream": STREAM}
