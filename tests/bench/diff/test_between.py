"""Intervals between two measurements: what equal ones may differ by, where intervals are lopsided or of few values."""

from __future__ import annotations

import numpy as np
import pytest

from compress.bench.benchmark.tails import tail
from compress.bench.diff.between import of_few, quotient, widest
from compress.bench.figures import Interval


def test_the_longer_side_of_a_tails_interval_keeps_equal_measurements_from_differing():
    """One call of a hundred is slow: whether p99 lies among the slow ones is chance."""
    rng = np.random.default_rng(1)

    def p99():
        calls = 1 + rng.gamma(1.2, 0.02, size=(40, 20))
        calls[rng.random(calls.shape) < 0.01] *= 5
        return tail(list(calls), 0.99)

    pairs = [(p99(), p99()) for _ in range(40)]
    differ = [[not q.low <= 1 <= q.high for q in (quotient(a, b), quotient(widest(a), widest(b)))] for a, b in pairs]
    assert np.sum(differ, axis=0)[0] > 8
    assert np.sum(differ, axis=0)[1] <= 4


@pytest.mark.parametrize("level", [0.95, 0.99])
def test_the_least_and_the_largest_of_five_hold_what_the_level_says(level):
    rng = np.random.default_rng(2)
    values = np.sort(np.exp(0.03 * rng.normal(size=(2, 4000, 5))), axis=2)
    missed = 0
    for a, b in values.transpose(1, 0, 2):
        found = [of_few(Interval(v[2], v[0], v[4]), 5, level) for v in (a, b)]
        ratio = quotient(*found, level=level)
        missed += not ratio.low <= 1 <= ratio.high
    assert missed / 4000 <= 1 - level
