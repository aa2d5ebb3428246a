"""ADWIN2: a window that grows while a stream's mean is steady, and drops its old end when the mean has changed.

Bifet and Gavalda, Learning from Time-Changing Data with Adaptive Windowing, SDM 2007. The window is an exponential
histogram: at most five buckets of 1 value, five of 2, five of 4 ..., each with its sum and its sum of squared
deviations, so that n values take O(log n) memory. A cut between two buckets shows a change when the means on its two
sides differ by more than

    sqrt(2/m * variance * ln(2/d)) + 2/(3 m) ln(2/d),   1/m = 1/n0 + 1/n1,   d = delta / ln(n).

Tests hold it to ``river.drift.ADWIN``, which forgets the whole window at a change where this keeps the recent end, as
the paper has it.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

BUCKETS = 5
"""Buckets of one size; one more, and the two oldest become one of the next size."""
CLOCK = 32
"""Values between two looks for a change."""
LEAST_SIDE = 5
"""Values on either side of a cut, at least."""
LEAST_WINDOW = 10
_LEVELS = 48


class Adwin:
    """``update(value)`` returns whether a change shows now. Values lie between 0 and 1, which the bound is for.

    ``delta``: the probability of a false alarm at a given look, as the paper has it; in practice it is far
    lower. After a change ``before`` holds mean, variance and number of the values that were dropped.
    """

    def __init__(self, delta: float = 0.002) -> None:
        self.delta = delta
        self.ticks = 0
        self.width = 0
        self.before = (0.0, 0.0, 0)
        self._total = 0.0
        self._squares = 0.0  # sum of squared deviations from the window's mean
        self._rows: list[deque[tuple[float, float]]] = [deque()]  # row k: buckets of 2**k values, the newest last

    @property
    def mean(self) -> float:
        return self._total / self.width if self.width else 0.0

    @property
    def variance(self) -> float:
        return self._squares / self.width if self.width else 0.0

    def update(self, value: float) -> bool:
        if self.width:
            self._squares += (value - self.mean) ** 2 * self.width / (self.width + 1)
        self.width += 1
        self._total += value
        self._rows[0].append((value, 0.0))
        self._merge()
        self.ticks += 1
        if self.ticks % CLOCK or self.width <= LEAST_WINDOW:
            return False
        return self._shrink()

    def _merge(self) -> None:
        for level, row in enumerate(self._rows):
            if len(row) <= BUCKETS:
                return
            (total0, squares0), (total1, squares1) = row.popleft(), row.popleft()
            size = 1 << level
            squares = squares0 + squares1 + (total0 - total1) ** 2 / (2 * size)
            if level + 1 == len(self._rows):
                self._rows.append(deque())
            self._rows[level + 1].append((total0 + total1, squares))

    def _shrink(self) -> bool:
        """Drop the oldest buckets while some cut shows a change."""
        width, total, squares = self.width, self._total, self._squares
        while self.width > LEAST_WINDOW and self._differs():
            self._drop_oldest()
        if self.width == width:
            return False
        count = width - self.width
        mean = (total - self._total) / count
        between = (mean - self.mean) ** 2 * count * self.width / width if self.width else 0.0
        self.before = mean, max(squares - self._squares - between, 0.0) / count, count
        return True

    def _differs(self) -> bool:
        bound = math.log(2 * math.log(self.width) / self.delta)
        spread = 2 * self.variance * bound
        count, total = 0, 0.0
        for level in range(len(self._rows) - 1, -1, -1):
            size = 1 << level
            for bucket, _ in self._rows[level]:
                count += size
                total += bucket
                rest = self.width - count
                if rest < LEAST_SIDE:
                    return False
                if count < LEAST_SIDE:
                    continue
                inverse = 1 / count + 1 / rest
                apart = abs(total / count - (self._total - total) / rest)
                if apart > math.sqrt(spread * inverse) + bound * inverse / 1.5:
                    return True
        return False

    def _drop_oldest(self) -> None:
        level = len(self._rows) - 1
        total, squares = self._rows[level].popleft()
        size = 1 << level
        self.width -= size
        self._total -= total
        if self.width:
            apart = total / size - self.mean
            self._squares -= squares + apart**2 * size * self.width / (size + self.width)
        self._squares = max(self._squares, 0.0) if self.width else 0.0
        while len(self._rows) > 1 and not self._rows[-1]:
            self._rows.pop()

    def state(self) -> dict[str, Any]:
        return {"ticks": self.ticks, "rows": [[list(bucket) for bucket in row] for row in self._rows]}

    def restore(self, state: dict[str, Any]) -> None:
        """Raises KeyError, TypeError or ValueError for what :meth:`state` did not make."""
        rows = [deque((float(total), float(squares)) for total, squares in row) for row in state["rows"]]
        numbers = [number for row in rows for bucket in row for number in bucket]
        if (
            not 0 < len(rows) <= _LEVELS
            or any(len(row) > BUCKETS for row in rows)
            or not all(map(math.isfinite, numbers))
        ):
            raise ValueError("not a state of ADWIN")
        self._rows, self.ticks = rows, int(state["ticks"])
        self.width = sum(len(row) << level for level, row in enumerate(rows))
        self._total = sum(total for row in rows for total, _ in row)
        mean = self.mean
        self._squares = sum(
            squares + (total / (1 << level) - mean) ** 2 * (1 << level)
            for level, row in enumerate(rows)
            for total, squares in row
        )
