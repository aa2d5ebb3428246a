"""Measured figures as plain frozen data, with what is known of their error: what all results are made of.

Units: seconds, samples per second, fractions 0 to 1. A ratio is time(reference) / time(this): above 1 is faster. A
difference is accuracy(reference) - accuracy(this): above 0 is a loss. Intervals are 95 % intervals.
"""

from __future__ import annotations

from dataclasses import dataclass

from compress.bench.strict_json import Strict

WORTHWHILE = 1.02
"""A ratio of times below this is not worth a stage, and is about what two copies of one file may differ by."""


@dataclass(frozen=True, slots=True)
class Interval(Strict):
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class PairedDifference(Strict):
    """Accuracy lost against a reference on the same ``n`` samples; ``better`` and ``worse`` count the flips."""

    value: float
    low: float
    high: float
    p_mcnemar: float
    better: int
    worse: int
    n: int


@dataclass(frozen=True, slots=True)
class Latency(Strict):
    """Seconds for one call. ``n`` calls in all; ``throughput`` in samples per second.

    ``p50``: the typical call: the estimate over rounds, or openings, that ``interval`` belongs to. ``p50_calls``: the
    median of all calls together.
    ``percentiles``: the 0th, 1st ... 100th, for the distribution plot; may be empty.
    """

    p50: float
    p90: float
    p99: float
    mean: float
    throughput: float
    n: int
    ratio_to_teacher: Interval | None = None
    ratio_to_torch: Interval | None = None
    ratio_to_parent: Interval | None = None
    interval: Interval | None = None
    percentiles: tuple[float, ...] = ()
    p50_calls: float | None = None


@dataclass(frozen=True, slots=True)
class Accuracy(Strict):
    """``correct`` of ``n`` test samples. The teacher is the float one on the same runtime."""

    correct: int
    n: int
    value: float
    interval: Interval
    drop_vs_teacher: PairedDifference | None = None
    drop_vs_parent: PairedDifference | None = None
