"""What every power sensor is.

There are two kinds. A *counter* adds up energy by itself: two readings give the joules between them, however seldom it
is read. A *power sensor* says watts at this moment: it has to be read all the time, and what happens between two
readings is missed. ``counts`` says which; a reading is joules since ``open`` for the one and watts for the other.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from edge_runtime.errors import SensorError, SensorResetError

Now = Callable[[], float]
"""Seconds of a clock that never goes back."""

INSTANT = 0.02
"""Seconds: a counter that is updated at least this often is read at the two ends of what is measured; a slower one is
watched for the moments at which it changes."""


@dataclass(frozen=True)
class Resolution:
    """How finely a sensor tells: ``step``, the smallest difference of two readings (joules of a counter, watts of a
    power sensor; None: not documented), and ``interval``, seconds between two updates of what it says.

    ``span``: seconds over which a reading of watts is averaged before it is given, 0 for none.
    """

    step: float | None
    interval: float
    span: float = 0.0


@dataclass(frozen=True)
class Rail:
    """A part whose power is told apart. ``counted``: it belongs to the total; others lie within one that does, or
    contain it, and would be counted twice."""

    name: str
    counted: bool = True


class Sample(NamedTuple):
    """A reading: seconds on the clock of whoever asked, and one value a rail."""

    at: float
    values: tuple[float, ...]


class Sensor(ABC):
    """One source of energy figures. A context manager: ``open`` begins counting at zero joules.

    ``kind``: the sensor's name in the table of ``find`` and in targets ("rapl"); ``name`` tells several of a kind
    apart ("nvml:0"). ``source``: words for a report: what is measured, and what is not.
    """

    kind: str
    name: str
    source: str
    counts: bool
    resolution: Resolution
    rails: tuple[Rail, ...]

    @property
    def period(self) -> float:
        """Seconds between two readings while something is recorded. A counter's are only for seeing when it changes,
        or for not missing that it wraps when it changes all the time."""
        if not self.counts:
            return self.resolution.interval
        return self.resolution.interval / 4 if self.resolution.interval > INSTANT else 1.0

    @property
    def instant(self) -> bool:
        """Whether a reading holds for the very moment at which it is taken."""
        return self.counts and self.resolution.interval <= INSTANT

    def open(self) -> None:
        """Begin: take hold of what is needed. Raises SensorError with what to do."""
        return

    def close(self) -> None:
        """Let go; calling it twice does no harm."""
        return

    @abstractmethod
    def readings(self) -> tuple[float, ...]:
        """One value a rail, in the order of ``rails``: joules since ``open``, or watts. Raises SensorError."""

    def read(self) -> float:
        """The total: joules since ``open``, or watts. Raises SensorError."""
        return self.total(self.readings())

    def total(self, values: tuple[float, ...]) -> float:
        """The sum of the values that count."""
        return sum(value for rail, value in zip(self.rails, values, strict=True) if rail.counted)

    def samples(self, now: Now) -> list[Sample]:
        """What there is to read at this moment: mostly one reading, which took place in the middle of asking for it."""
        before = now()
        values = self.readings()
        return [Sample((before + now()) / 2, values)]

    def notes(self) -> tuple[str, ...]:
        """Trouble since ``open`` that a reader of the figures should know."""
        return ()

    def __enter__(self) -> Sensor:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Odometer:
    """Joules since the first reading of a counter that only grows.

    ``span``: the counter's value after which it begins at zero again, None for one that never does. A counter must be
    read at least once in the time it takes to go round: two rounds between two readings look like one.
    """

    def __init__(self, span: float | None = None) -> None:
        self._span = span
        self._last: float | None = None
        self.joules = 0.0

    def update(self, value: float) -> float:
        """Take a reading in joules; return the joules so far. Raises SensorResetError when a counter without a span
        has gone back: what it had counted since the last reading is lost, and counting goes on from here."""
        if not math.isfinite(value) or value < 0:
            raise SensorError(f"a counter of joules cannot stand at {value}")
        last, self._last = self._last, value
        if last is None:
            return self.joules
        if value < last:
            if self._span is None or last > self._span:
                raise SensorResetError(f"the counter went back from {last:g} J to {value:g} J: it was reset")
            last -= self._span
        self.joules += value - last
        return self.joules
