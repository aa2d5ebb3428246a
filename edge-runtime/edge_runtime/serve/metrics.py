"""What Prometheus reads: counters, gauges and histograms in its text format, in base units.

Written by hand because it is this small; a test reads the text with Prometheus' own client library.
https://prometheus.io/docs/instrumenting/exposition_formats/ and https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

import os
import threading
import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Upper bounds of the latency histograms' buckets."""
SAMPLES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)


@dataclass(frozen=True)
class Sample:
    """One value of a metric. ``kind``: "gauge" or "counter" (whose name ends in ``_total``)."""

    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
    kind: str = "gauge"
    help: str = ""


class Counter:
    """Counts by label values. Safe to use from several threads."""

    def __init__(self, name: str, text: str, *labels: str) -> None:
        self.name, self.help, self.labels = name, text, labels
        self._lock = threading.Lock()
        self._values: dict[tuple[str, ...], float] = {} if labels else {(): 0.0}

    def add(self, *values: str, by: float = 1.0) -> None:
        with self._lock:
            self._values[values] = self._values.get(values, 0.0) + by

    def value(self, *values: str) -> float:
        return self._values.get(values, 0.0)

    def lines(self) -> Iterable[str]:
        yield from _head(self.name, "counter", self.help)
        with self._lock:
            values = list(self._values.items())
        for labels, value in values:
            yield _line(self.name, zip(self.labels, labels, strict=True), value)


class Histogram:
    """Counts of observations up to each bound, by label values. Safe to use from several threads."""

    def __init__(self, name: str, text: str, bounds: Sequence[float], *labels: str) -> None:
        self.name, self.help, self.bounds, self.labels = name, text, bounds, labels
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, ...], list[float]] = {}

    def observe(self, value: float, *labels: str) -> None:
        with self._lock:
            counts = self._counts.get(labels)
            if counts is None:  # one count a bucket, the one without a bound, and the sum
                counts = self._counts[labels] = [0.0] * (len(self.bounds) + 2)
            counts[bisect_left(self.bounds, value)] += 1
            counts[-1] += value

    def lines(self) -> Iterable[str]:
        yield from _head(self.name, "histogram", self.help)
        with self._lock:
            copies = [(labels, list(counts)) for labels, counts in self._counts.items()]
        for values, counts in copies:
            labels = list(zip(self.labels, values, strict=True))
            total = 0.0
            for bound, count in zip((*self.bounds, "+Inf"), counts[:-1], strict=True):
                total += count
                yield _line(f"{self.name}_bucket", [*labels, ("le", str(bound))], total)
            yield _line(f"{self.name}_sum", labels, counts[-1])
            yield _line(f"{self.name}_count", labels, total)


class Metrics:
    """All of a server's metrics. What is a state rather than an event is handed to ``text`` when it is asked for."""

    def __init__(self) -> None:
        name = "edge_runtime_"
        self.requests = Counter(f"{name}requests_total", "Requests answered.", "endpoint", "status")
        self.errors = Counter(f"{name}errors_total", "Requests refused or failed, by the code in the answer.", "code")
        self.request = Histogram(
            f"{name}request_duration_seconds", "From a request's headers to its answer.", SECONDS, "endpoint"
        )
        self.inference = Histogram(f"{name}inference_duration_seconds", "One inference, whatever its batch.", SECONDS)
        self.batch = Histogram(f"{name}batch_samples", "Samples of one inference.", SAMPLES)
        self.switches = Counter(f"{name}switches_total", "Changes of the version served, by result.", "result")
        self._all = (self.requests, self.errors, self.request, self.inference, self.batch, self.switches)

    def text(self, samples: Iterable[Sample]) -> bytes:
        lines = [line for metric in self._all for line in metric.lines()]
        families: dict[str, list[Sample]] = {}
        for sample in (*samples, *_process()):
            families.setdefault(sample.name, []).append(sample)
        for name, members in families.items():
            lines += _head(name, members[0].kind, members[0].help)
            lines += [_line(name, sample.labels.items(), sample.value) for sample in members]
        return ("\n".join(lines) + "\n").encode()


def _process() -> Iterable[Sample]:
    """What Prometheus' own libraries tell of a process, by the same names."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    times = os.times()
    yield Sample(
        "process_cpu_seconds_total", times.user + times.system, kind="counter", help="Processor time, user and system."
    )
    yield Sample(
        "process_resident_memory_bytes", float(fields[21]) * os.sysconf("SC_PAGE_SIZE"), help="Resident memory."
    )
    started = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + float(fields[19]) / ticks
    yield Sample("process_start_time_seconds", started, help="Start of the process, seconds since the epoch.")


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {_escaped(text)}", f"# TYPE {name} {kind}"]


def _line(name: str, labels: Iterable[tuple[str, str]], value: float) -> str:
    inner = ",".join(f'{key}="{_quoted(text)}"' for key, text in labels)
    number = str(int(value)) if float(value).is_integer() else repr(float(value))
    return f"{name}{{{inner}}} {number}" if inner else f"{name} {number}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')
