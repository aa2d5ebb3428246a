"""An external meter between the device and its supply: the one sensor that sees everything.

It speaks the line protocol of `meter_lines` from one of the feeds of `meter_feeds`: a program that writes a file, a
serial line, a plug that answers over HTTP.

A line with the meter's own seconds is placed by them, for they are evener than its arrival; the two clocks are held
together by the line that was quickest to arrive. A line without is placed when it is read.
"""

from __future__ import annotations

import statistics
import time
from itertools import pairwise

from edge_runtime.energy.base import Now, Odometer, Rail, Resolution, Sample, Sensor
from edge_runtime.energy.meter_feeds import Feed, Http, open_feed
from edge_runtime.energy.meter_lines import Line, parse
from edge_runtime.errors import SensorError, SensorResetError

KIND = "meter"
PATIENCE = 5.0
"""Seconds to wait for a meter's first lines."""
FIRST_LINES = 3
"""Lines that tell how often a meter speaks and how finely."""
SHORTEST, LONGEST = 0.02, 10.0
"""Seconds between two lines, as far as that is believed."""
HTTP_INTERVAL = 1.0
"""A plug updates its figure about once a second; it is asked twice as often."""
LEEWAY = 1.0
"""Seconds that a line may seem to come from the future: the first one was on its way for so long."""
STALE = 5
"""Intervals without a line after which the last one is not `read` any more."""


def open_meter(name: str) -> Meter:
    """The meter with that name: a file, a serial device or an address, as `meter_feeds.open_feed` has it. It is not
    open yet. Raises MeterError for a name that is none."""
    return Meter(open_feed(name), name)


class Meter(Sensor):
    """A feed read as a sensor; ``counts`` and ``resolution`` are known once it is open."""

    kind = KIND
    counts = False
    rails = (Rail("input"),)

    def __init__(self, feed: Feed, name: str) -> None:
        self._feed = feed
        self.name = f"{KIND}:{name}"
        self.source = f"external meter {name}: everything that it feeds"
        self.resolution = Resolution(None, HTTP_INTERVAL)
        self._forget()

    def _forget(self) -> None:
        self._odometer = Odometer()
        self._latest: tuple[float, float] | None = None  # arrival on the monotonic clock, value
        self._offset: float | None = None  # our clock less the meter's
        self._placed = self._stamp = float("-inf")  # the last sample, on our clock and on the meter's
        self._reset: SensorResetError | None = None
        self._waiting: list[Line] = []
        self._garbage, self._first_garbage = 0, ""
        self._disordered = 0

    @property
    def period(self) -> float:
        return self.resolution.interval / 2

    def open(self) -> None:
        """Wait for the first lines, and see from them what the meter tells. Raises SensorError when none comes."""
        self._forget()
        first: list[tuple[float, Line]] = []
        began = time.monotonic()
        while len(first) < FIRST_LINES and time.monotonic() - began < PATIENCE:
            first += [(time.monotonic(), line) for line in self._lines(first[0][1].energy if first else None)]
            if isinstance(self._feed, Http) and first:
                break
            time.sleep(SHORTEST)
        if not first:
            self.close()
            wrong = f"; it said {self._first_garbage!r}, which is no reading" if self._garbage else ""
            raise SensorError(f"{self.name}: no reading came within {PATIENCE:g} s{wrong}")
        self.counts = first[0][1].energy
        step = min(line.step for _, line in first)
        interval = HTTP_INTERVAL if isinstance(self._feed, Http) else _interval(first)
        self.resolution = Resolution(step, min(max(interval, SHORTEST), LONGEST))
        self._latest = (time.monotonic(), self._value(first[-1][1]))

    def close(self) -> None:
        self._feed.close()

    def readings(self) -> tuple[float, ...]:
        self.samples(time.monotonic)
        arrival, value = self._latest or (float("-inf"), 0.0)
        silence = time.monotonic() - arrival
        if silence > STALE * max(self.resolution.interval, 1.0):
            raise SensorError(f"{self.name}: no reading for {silence:.1f} s")
        return (value,)

    def samples(self, now: Now) -> list[Sample]:
        """The lines since the last call, in order. A counter that began anew raises SensorResetError, once."""
        if self._reset:
            error, self._reset = self._reset, None
            raise error
        lines = self._lines(self.counts)
        arrival = now()
        self._waiting += self._in_order(lines, arrival)
        found: list[Sample] = []
        while self._waiting:
            line = self._waiting.pop(0)
            try:
                value = self._value(line)
            except SensorResetError as error:
                if not found:
                    raise
                self._reset = error
                break
            at = arrival if line.seconds is None else max(line.seconds + self._offset, self._placed)
            if found and at == found[-1].at:
                found.pop()
            self._placed = at
            self._latest = (time.monotonic(), value)
            found.append(Sample(at, (value,)))
        return found

    def notes(self) -> tuple[str, ...]:
        notes = []
        if self._garbage:
            notes.append(f"{self._garbage} lines were not understood, the first: {self._first_garbage!r}")
        if self._feed.overlong:
            notes.append(f"{self._feed.overlong} lines were too long")
        if self._disordered:
            notes.append(f"{self._disordered} lines were out of order")
        return tuple(notes)

    def _lines(self, energy: bool | None) -> list[Line]:
        """The lines that are understood, and that tell energy or power as the first one did."""
        found: list[Line] = []
        for text in self._feed.take():
            try:
                line = parse(text)
            except ValueError:
                self._refuse(text)
                continue
            if line is None:
                continue
            energy = line.energy if energy is None else energy
            if line.energy == energy:
                found.append(line)
            else:
                self._refuse(text)
        return found

    def _refuse(self, text: str) -> None:
        self._garbage += 1
        self._first_garbage = self._first_garbage or text[:60]

    def _value(self, line: Line) -> float:
        return self._odometer.update(line.value) if self.counts else line.value

    def _in_order(self, lines: list[Line], arrival: float) -> list[Line]:
        """Those whose seconds go forward and do not run ahead of us. Learns how the two clocks lie to each other: the
        meter's newest line has been on its way for at least no time."""
        kept = []
        for line in lines:
            if line.seconds is not None:
                ahead = 0.0 if self._offset is None else line.seconds + self._offset - arrival
                if line.seconds <= self._stamp or ahead > LEEWAY + self.resolution.interval:
                    self._disordered += 1
                    continue
                self._stamp = line.seconds
            kept.append(line)
        offsets = [arrival - line.seconds for line in kept if line.seconds is not None]
        if offsets:
            self._offset = min(offsets if self._offset is None else [*offsets, self._offset])
        return kept


def _interval(first: list[tuple[float, Line]]) -> float:
    """Seconds between lines: by the meter's clock where it tells one, by ours otherwise."""
    times = [line.seconds if line.seconds is not None else arrival for arrival, line in first]
    return statistics.median([b - a for a, b in pairwise(times)] or [HTTP_INTERVAL])
