"""Joules between two moments, from readings that are uneven, late or missing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from power import Joules, Watts, World

from edge_runtime.energy.series import Series


def power(at: list[float], watts: list[float], interval: float = 0.1) -> Series:
    return Series.of(Watts(World(), interval), at, [(value,) for value in watts])


def counter(at: list[float], joules: list[float], interval: float = 0.1, resets: tuple[float, ...] = ()) -> Series:
    return Series.of(Joules(World(), interval), at, [(value,) for value in joules], resets)


def test_power_is_integrated_by_trapezoids_with_its_ends_in_between():
    series = power([0, 1, 2, 3], [1, 3, 3, 5], interval=1)
    assert series.joules(0, 3) == pytest.approx([2 + 3 + 4])
    assert series.joules(0.5, 2.5) == pytest.approx([1.25 + 3 + 1.75])
    assert series.joules(1.25, 1.75) == pytest.approx([1.5])


@given(
    slope=st.floats(-10, 10),
    gaps=st.lists(st.floats(0.01, 2), min_size=3, max_size=30),
    share=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_a_straight_line_is_integrated_exactly_however_uneven_the_readings(slope, gaps, share):
    at = np.cumsum([0.0, *gaps])
    start, end = sorted(part * at[-1] for part in share)
    exact = slope * (end**2 - start**2) / 2 + 7 * (end - start)
    series = power(list(at), list(slope * at + 7))
    assert series.joules(start, end)[0] == pytest.approx(exact, rel=1e-9, abs=1e-9)


def test_parts_add_up():
    series = power(list(np.arange(0, 10, 0.1)), list(np.random.default_rng(0).uniform(1, 9, 100)))
    whole = series.joules(0.33, 7.77)[0]
    assert series.joules(0.33, 4.04)[0] + series.joules(4.04, 7.77)[0] == pytest.approx(whole)


def test_a_counter_that_is_updated_slowly_is_read_between_its_updates():
    at = list(np.arange(0, 4, 0.025))
    shown = [np.floor(moment / 0.1) * 0.1 * 5 for moment in at]  # 5 W, updated ten times a second, read forty times
    series = counter(at, shown)
    assert series.joules(0.55, 2.55)[0] == pytest.approx(10.0, rel=1e-9)
    assert series.joules(0.53, 2.58)[0] == pytest.approx(10.25, rel=1e-3)  # not the 10.5 or 10.0 that it shows


def test_a_counter_needs_no_readings_in_between():
    series = counter([0.0, 0.05, 9.95, 10.0], [0.0, 0.5, 99.5, 100.0], interval=1e-3)
    assert series.joules(0.0, 10.0)[0] == pytest.approx(100.0)
    assert series.gaps(0.0, 10.0) == []


def test_a_gap_in_power_is_told_with_its_place():
    at = [moment for moment in np.arange(0, 10.05, 0.1) if not 4.05 < moment < 5.75]
    series = power(at, [5.0] * len(at))
    ((place, length),) = series.gaps(1.0, 9.0)
    assert (place, length) == (pytest.approx(3.0), pytest.approx(1.8))
    assert series.gaps(6.0, 9.0) == []
    ((place, length),) = series.gaps(5.0, 9.0)
    assert (place, length) == (0.0, pytest.approx(0.8))


def test_readings_that_begin_late_or_end_early_are_gaps():
    series = power([2.0, 2.1, 2.2], [5.0] * 3)
    assert series.gaps(1.0, 3.0) == [(0.0, 1.0), (pytest.approx(1.2), pytest.approx(0.8))]
    assert series.gaps(1.95, 2.25) == []
    assert series.gaps(5.0, 6.0) == [(0.0, 1.0)]


def test_a_counter_misses_only_what_surrounds_the_ends():
    series = counter([0.0, 4.0, 4.1, 4.2, 7.0, 7.1], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    assert series.gaps(4.05, 7.05) == []
    assert series.gaps(2.0, 7.05) == [(0.0, 2.0)]


def test_without_a_reading_there_are_no_joules():
    assert np.isnan(power([], []).joules(0, 1)).all()
    assert power([], []).gaps(0, 1) == [(0.0, 1.0)]


def test_across_a_reset_there_are_no_joules():
    series = counter([0.0, 1.0, 2.0, 3.0], [0.0, 5.0, 5.0, 10.0], resets=(1.5,))
    assert np.isnan(series.joules(1.0, 3.0)).all()
    assert series.joules(2.0, 3.0)[0] == 5.0


def test_readings_that_came_out_of_order_are_put_in_order():
    series = power([0, 2, 1, 3], [1, 3, 2, 4], interval=1)
    assert series.joules(0, 3)[0] == pytest.approx(7.5)
