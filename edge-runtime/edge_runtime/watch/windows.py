"""Windows of observations, one after another, each compared with the bundle's reference.

A detector that is beyond its threshold in two windows in a row raises its alarm; one within it in two windows in a row
ends it. A window is one running sum, so its memory does not depend on its size.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edge_runtime.watch.alarms import Alarm, Alarms, Window
from edge_runtime.watch.reference import Reference


@dataclass(frozen=True)
class Verdict:
    """Of one detector in the last full window."""

    statistic: float
    threshold: float | None
    part: str

    @property
    def beyond(self) -> bool:
        return self.threshold is not None and self.statistic > self.threshold


class Windows:
    """``add`` rows as they come; ``last`` holds the verdicts of the last full window, by detector."""

    def __init__(self, reference: Reference, size: int, alarms: Alarms, version: str) -> None:
        self._reference, self.size, self._alarms, self._version = reference, size, alarms, version
        self.last: dict[str, Verdict] = {}
        self.closed = 0
        self._before: Window | None = None
        self._clear()

    def _clear(self) -> None:
        self._total = np.zeros(self._reference.layout.columns)
        self._count = 0
        self._first = 0
        self._begin = 0.0

    def room(self) -> int:
        """Samples that the open window still takes."""
        return self.size - self._count

    def add(self, rows: np.ndarray, first: int, last: int, now: float) -> Window | None:
        """Rows (n, columns), at most ``room()``, of observations ``first`` to ``last``; returns what it fills."""
        if not self._count:
            self._first, self._begin = first, now
        self._total += rows.sum(axis=0)
        self._count += len(rows)
        if self._count < self.size:
            return None
        window = Window(self._first, last, self._count, self._begin, now)
        self._judge(window)
        self._clear()
        self.closed += 1
        self._before = window
        return window

    def _judge(self, window: Window) -> None:
        reference = self._reference
        earlier, self.last = self.last, {}
        for name, (statistic, part) in reference.statistics(self._total, window.samples).items():
            verdict = Verdict(statistic, reference.threshold(name, window.samples), part)
            self.last[name] = verdict
            before = earlier.get(name)
            if before is None or self._before is None or before.beyond != verdict.beyond:
                continue
            if not verdict.beyond:
                self._alarms.end(name, window.end)
            else:
                self._alarms.set(
                    Alarm(
                        detector=name,
                        what="inputs changed",
                        part=part,
                        statistic=statistic,
                        threshold=verdict.threshold,
                        windows=(self._before, window),
                        reference=f"the bundle's reference {reference.digest} ({reference.samples} samples)",
                        version=self._version,
                    )
                )

    def state(self) -> dict[str, Any]:
        return {
            "size": self.size,
            "total": self._total.tolist(),
            "count": self._count,
            "first": self._first,
            "begin": self._begin,
            "closed": self.closed,
            "before": None if self._before is None else asdict(self._before),
            "last": {name: [v.statistic, v.threshold, v.part] for name, v in self.last.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Raises KeyError, TypeError or ValueError for what :meth:`state` did not make."""
        total = self._reference.layout.check(np.asarray(state["total"], np.float64))
        count, first, closed = int(state["count"]), int(state["first"]), int(state["closed"])
        if not 0 <= count < self.size or not math.isfinite(state["begin"]):
            raise ValueError(f"an open window of {count} samples begun at {state['begin']}")
        before = None if state["before"] is None else Window(**state["before"])
        last = {
            str(name): Verdict(float(statistic), None if threshold is None else float(threshold), str(part))
            for name, (statistic, threshold, part) in state["last"].items()
        }
        self._total, self._count, self._first, self._begin = total, count, first, float(state["begin"])
        self.closed, self._before, self.last = closed, before, last
