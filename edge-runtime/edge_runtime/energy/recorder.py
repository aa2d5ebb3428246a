"""Reading sensors while something else runs: one thread a sensor, for one that is slow must not keep the others.

A reading that fails is counted and the next one tried: what is missing then shows as a gap in the series.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from edge_runtime.energy.base import Sensor
from edge_runtime.energy.series import Series
from edge_runtime.errors import SensorError, SensorResetError


class Clock:
    """Time as it passes. Tests have one of their own."""

    def now(self) -> float:
        return time.perf_counter()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    @contextmanager
    def every(self, seconds: float, action: Callable[[], object]) -> Iterator[None]:
        """Do it again and again in another thread, as often as that or as it can be done."""
        ended = threading.Event()

        def run() -> None:
            due = time.perf_counter()
            while not ended.is_set():
                action()
                due = max(due + seconds, time.perf_counter())
                ended.wait(due - time.perf_counter())

        thread = threading.Thread(target=run, name="power sensor", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


@dataclass
class Track:
    """What one sensor has said. ``resets``: when a counter began anew; ``failures``: readings without an answer."""

    sensor: Sensor
    at: list[float] = field(default_factory=list)
    values: list[tuple[float, ...]] = field(default_factory=list)
    resets: list[float] = field(default_factory=list)
    failures: int = 0
    last_failure: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def series(self) -> Series:
        """All readings so far."""
        with self.lock:
            return Series.of(self.sensor, self.at, self.values, self.resets)

    def notes(self) -> tuple[str, ...]:
        failed = (f"{self.failures} readings failed, the last: {self.last_failure}",) if self.failures else ()
        return (*failed, *self.sensor.notes())


class Recorder:
    """Sensors being read. A context manager, which opens and closes them; raises SensorError when one cannot be."""

    def __init__(self, sensors: Sequence[Sensor], clock: Clock | None = None) -> None:
        self._clock = clock or Clock()
        self.tracks = [Track(sensor) for sensor in sensors]
        self._stack = ExitStack()

    def __enter__(self) -> Recorder:
        with ExitStack() as stack:
            for track in self.tracks:
                stack.enter_context(track.sensor)
            for track in self.tracks:
                stack.enter_context(self._clock.every(track.sensor.period, lambda track=track: self._poll(track)))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *details: object) -> None:
        self._stack.close()

    def touch(self) -> None:
        """Read the counters that hold for this very moment. The others are read at their own pace."""
        for track in self.tracks:
            if track.sensor.instant:
                self._poll(track)

    def _poll(self, track: Track) -> None:
        with track.lock:
            try:
                found = track.sensor.samples(self._clock.now)
            except SensorResetError:
                track.resets.append(self._clock.now())
            except SensorError as error:
                track.failures += 1
                track.last_failure = str(error)
            else:
                track.at += [sample.at for sample in found]
                track.values += [sample.values for sample in found]
