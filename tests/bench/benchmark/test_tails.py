from __future__ import annotations

import numpy as np
import pytest

from compress.bench.benchmark.tails import calls_needed, tail


def test_a_percentile_needs_as_many_calls_as_mlperfs_early_stopping():
    assert [calls_needed(q) for q in (0.9, 0.99, 0.999)] == [64, 662, 6636]


def test_too_few_calls_give_none_and_enough_the_very_quantile():
    rng = np.random.default_rng(0)
    calls = [rng.gamma(2.0, 1e-3, size=50) for _ in range(13)]
    assert tail(calls, 0.99) is None
    calls.append(rng.gamma(2.0, 1e-3, size=50))
    found = tail(calls, 0.99)
    assert found.value == pytest.approx(np.quantile(np.concatenate(calls), 0.99))
    assert found.low < found.value < found.high


@pytest.mark.parametrize("q", [0.9, 0.99])
def test_intervals_hold_the_truth_about_as_often_as_they_say(q):
    rng = np.random.default_rng(1)
    truth = np.quantile(rng.gamma(2.0, 1e-3, size=2_000_000), q)
    held = 0
    for trial in range(100):
        found = tail([rng.gamma(2.0, 1e-3, size=40) for _ in range(40)], q, seed=trial)
        held += found.low <= truth <= found.high
    assert held >= 90


def test_slow_spells_widen_the_interval():
    """Calls of one slow round are no independent witnesses."""
    rng = np.random.default_rng(2)
    even = [rng.gamma(2.0, 1e-3, size=50) for _ in range(40)]
    slow = [block * (1.5 if 10 <= index < 16 else 1.0) for index, block in enumerate(even)]
    narrow, wide = tail(even, 0.9), tail(slow, 0.9)
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_few_rounds_leave_it_open():
    calls = [np.linspace(1.0, 2.0, 400)] * 5
    assert (tail(calls, 0.9).low, tail(calls, 0.9).high) == (1.0, 2.0)
