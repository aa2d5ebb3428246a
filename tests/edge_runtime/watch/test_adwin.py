"""ADWIN against river's, which forgets the whole window at a change where this keeps the recent end: so what is
compared is the first change of a stream, to within one look (32 values)."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift

from edge_runtime.watch.adwin import CLOCK, Adwin

SEEDS = range(8)


def first(detector, values):
    for index, value in enumerate(values):
        if isinstance(detector, Adwin):
            if detector.update(value):
                return index
        else:
            detector.update(value)
            if detector.drift_detected:
                return index
    return None


def stationary(random):
    return random.random(3000)


def abrupt(random):
    return np.r_[random.normal(0.3, 0.1, 1500), random.normal(0.5, 0.1, 1000)]


def errors(random):
    return np.r_[random.random(2000) < 0.1, random.random(2000) < 0.35].astype(float)


def gradual(random):
    return np.r_[random.normal(0.3, 0.1, 1000), random.normal(np.linspace(0.3, 0.7, 1500), 0.1)]


@pytest.mark.parametrize("make", [stationary, abrupt, errors, gradual])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_first_change_is_found_where_river_finds_it(make, seed):
    values = make(np.random.default_rng(seed)).tolist()
    ours, theirs = first(Adwin(), values), first(drift.ADWIN(), values)
    if make is stationary:
        assert ours is None and theirs is None
    else:
        assert ours is not None and abs(ours - theirs) <= CLOCK


def test_its_statistics_are_those_of_the_window_that_river_keeps():
    values = np.random.default_rng(1).random(2000).tolist()
    ours, theirs = Adwin(), drift.ADWIN()
    for value in values:
        ours.update(value)
        theirs.update(value)
    assert ours.width == theirs.width == 2000
    assert ours.mean == pytest.approx(theirs.estimation)
    assert ours.variance == pytest.approx(np.var(values))


def test_after_a_change_the_window_holds_what_came_since_and_before_holds_the_rest():
    random = np.random.default_rng(0)
    detector = Adwin()
    values = np.r_[random.normal(0.2, 0.05, 2000), random.normal(0.8, 0.05, 200)].tolist()
    assert first(detector, values) == pytest.approx(2000, abs=2 * CLOCK)
    mean, variance, count = detector.before
    assert mean == pytest.approx(0.2, abs=0.01)
    assert variance == pytest.approx(0.05**2, rel=0.2)
    assert 1500 < count <= 2048


def test_false_alarms_on_steady_streams_are_rarer_than_delta_for_each_look():
    alarms = looks = 0
    for seed in range(20):
        random, detector = np.random.default_rng(seed), Adwin(delta=0.05)
        for value in (random.random(4000) < 0.2).astype(float).tolist():
            alarms += detector.update(value)
        looks += 4000 // CLOCK
    assert alarms <= 0.05 * looks


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=400), st.integers(0, 400))
def test_a_restored_detector_goes_on_as_if_nothing_had_happened(values, cut):
    one = Adwin()
    for value in values[:cut]:
        one.update(value)
    other = Adwin()
    other.restore(json.loads(json.dumps(one.state())))
    assert [one.update(v) for v in values[cut:]] == [other.update(v) for v in values[cut:]]
    assert (one.width, one.mean) == (other.width, pytest.approx(other.mean))
    assert one.variance == pytest.approx(other.variance, abs=1e-9)


@pytest.mark.parametrize(
    "state", [{}, {"rows": [], "ticks": 0}, {"rows": [[[float("nan"), 0]]], "ticks": 1}, {"rows": 3, "ticks": 1}]
)
def test_a_damaged_state_is_refused(state):
    with pytest.raises((KeyError, TypeError, ValueError)):
        Adwin().restore(state)


def test_memory_grows_with_the_logarithm_of_the_stream():
    detector = Adwin()
    values = np.random.default_rng(0).random(1 << 16).tolist()
    for value in values[: 1 << 12]:
        detector.update(value)
    tracemalloc.start()
    for value in values[1 << 12 :]:
        detector.update(value)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert detector.width == 1 << 16
    assert grown < 20_000
