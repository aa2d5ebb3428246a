"""What is said when inputs change: which detector, over which observations, compared with what. Never that the model
is wrong, which none of these can know."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timezone
from typing import Any

KEPT = 100
"""Alarms that are over and still remembered, the latest ones."""


@dataclass(frozen=True)
class Window:
    """Observations ``first`` to ``last`` (numbered from 1 since watching began, both included), ``samples`` of which
    were compared; ``begin`` and ``end`` in seconds since 1970."""

    first: int
    last: int
    samples: int
    begin: float
    end: float

    def __str__(self) -> str:
        return f"observations {self.first}-{self.last} (n={self.samples}, {rfc3339(self.begin)} to {rfc3339(self.end)})"


@dataclass(frozen=True)
class Alarm:
    """``what`` is "inputs changed" or "error rate rose". ``windows``: the two in a row that showed it.

    ``statistic`` (of the second window) is above ``threshold``; ``part`` is where the difference is largest. ``ended``
    in seconds since 1970 once two windows in a row are back within bounds, and None until then.
    """

    detector: str
    what: str
    part: str
    statistic: float
    threshold: float
    windows: tuple[Window, Window]
    reference: str
    version: str
    ended: float | None = None

    def __str__(self) -> str:
        name = self.detector if self.part == self.detector else f"{self.detector} ({self.part})"
        over = f"; over since {rfc3339(self.ended)}" if self.ended is not None else ""
        first, second = self.windows
        return (
            f"{self.what}: {name} is {self.statistic:.4g}, above {self.threshold:.4g}, "
            f"in {first} and {second}, compared with {self.reference}; model version {self.version}{over}"
        )


class Alarms:
    """Those that are on, at most one for a detector, and the latest that are over."""

    def __init__(self) -> None:
        self._on: dict[str, Alarm] = {}
        self._over: deque[Alarm] = deque(maxlen=KEPT)
        self.raised: dict[str, int] = {}
        """By detector: alarms ever raised."""

    def __contains__(self, detector: str) -> bool:
        return detector in self._on

    def on(self) -> list[Alarm]:
        return list(self._on.values())

    def all(self) -> list[Alarm]:
        return [*self._over, *self._on.values()]

    def set(self, alarm: Alarm) -> None:
        if alarm.detector not in self._on:
            self.raised[alarm.detector] = self.raised.get(alarm.detector, 0) + 1
            self._on[alarm.detector] = alarm

    def end(self, detector: str, now: float) -> None:
        if alarm := self._on.pop(detector, None):
            self._over.append(replace(alarm, ended=now))

    def end_all(self, now: float) -> None:
        for detector in list(self._on):
            self.end(detector, now)

    def state(self) -> dict[str, Any]:
        return {"alarms": [asdict(alarm) for alarm in self.all()], "raised": self.raised}

    def restore(self, state: dict[str, Any]) -> None:
        """Raises KeyError, TypeError or ValueError for what :meth:`state` did not make."""
        alarms = [_alarm(entry) for entry in state["alarms"][-2 * KEPT :]]
        raised = {str(name): int(count) for name, count in state["raised"].items()}
        self._on = {alarm.detector: alarm for alarm in alarms if alarm.ended is None}
        self._over = deque((alarm for alarm in alarms if alarm.ended is not None), maxlen=KEPT)
        self.raised = raised


def _alarm(entry: dict[str, Any]) -> Alarm:
    first, second = (Window(*(kind(w[f.name]) for f, kind in _WINDOW)) for w in entry["windows"])
    texts = {name: str(entry[name]) for name in ("detector", "what", "part", "reference", "version")}
    ended = None if entry["ended"] is None else float(entry["ended"])
    numbers = {name: float(entry[name]) for name in ("statistic", "threshold")}
    return Alarm(**texts, **numbers, windows=(first, second), ended=ended)


_WINDOW = [(field, float if field.name in ("begin", "end") else int) for field in fields(Window)]


def rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
