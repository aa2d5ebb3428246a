from __future__ import annotations

import math

import numpy as np
import pytest

from compress.bench.between import difference, lost_unpaired, quotient
from compress.bench.results import Accuracy, Interval


def counted(correct, n):
    return Accuracy(correct, n, correct / n, Interval(correct / n, 0, 1))


def test_two_proportions_have_newcombes_published_interval():
    """56 of 70 against 48 of 80: Newcombe 1998, table II, method 10."""
    found = lost_unpaired(counted(56, 70), counted(48, 80))
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def test_a_difference_keeps_its_parts_lopsided():
    found = difference(Interval(5, 4, 5), Interval(2, 2, 4))
    assert found == Interval(3, 3 - math.hypot(1, 2), 3)


def test_a_quotient_of_known_numbers_is_exact():
    found = quotient(Interval(4, 4, 4), Interval(2, 2, 2))
    assert (found.value, found.low, found.high) == pytest.approx((2, 2, 2))


def test_exchanging_two_ratios_turns_their_quotient_over():
    one, other = Interval(3.0, 2.8, 3.3), Interval(2.5, 2.4, 2.7)
    there, back = quotient(one, other), quotient(other, one)
    assert (back.value, back.low, back.high) == pytest.approx((1 / there.value, 1 / there.high, 1 / there.low))


@pytest.mark.parametrize("level", [0.95, 0.995])
def test_the_quotient_holds_the_truth_as_often_as_it_says(level):
    rng = np.random.default_rng(0)
    spread, trials = np.array([0.02, 0.01]), 4000
    held = 0
    for logs in np.log([3.0, 2.0]) + spread * rng.standard_normal((trials, 2)):
        one, other = (Interval(*np.exp([x, x - 1.96 * s, x + 1.96 * s])) for x, s in zip(logs, spread, strict=True))
        found = quotient(one, other, level=level)
        held += found.low <= 1.5 <= found.high
    assert held / trials == pytest.approx(level, abs=3 * math.sqrt(level * (1 - level) / trials))


def test_what_varies_from_run_to_run_widens_a_quotient_of_exact_ratios():
    found = quotient(Interval(2, 2, 2), Interval(2, 2, 2), between=0.02)
    assert math.log(found.high) == pytest.approx(1.96 * 0.02 * math.sqrt(2), rel=1e-4)
    assert found.low == pytest.approx(1 / found.high)
