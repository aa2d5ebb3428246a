from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.watch.histograms import SIZE, Durations, edge


def test_quantiles_are_within_an_eighth_of_the_exact_ones():
    values = np.random.default_rng(0).lognormal(-6, 1, 20_000)
    durations = Durations()
    for value in values.tolist():
        durations.add(value)
    for level in (0.01, 0.5, 0.9, 0.99, 0.999):
        assert durations.quantile(level) == pytest.approx(np.quantile(values, level), rel=1 / 8)
    assert durations.total == pytest.approx(values.sum())


@settings(deadline=None)
@given(st.floats(2**-20, 2**7, exclude_max=True))
def test_a_duration_lies_in_its_bucket(seconds):
    durations = Durations()
    durations.add(seconds)
    place = durations.counts.index(1)
    assert edge(place) <= seconds < edge(place + 1)
    assert edge(place + 1) <= edge(place) * (1 + 1 / 8)


@settings(deadline=None)
@given(st.floats(allow_nan=True, allow_infinity=True))
def test_whatever_a_clock_says_is_counted_once(seconds):
    durations = Durations()
    durations.add(seconds)
    assert sum(durations.counts) == durations.count == 1
    assert len(durations.counts) == SIZE
    assert math.isfinite(durations.total)


def test_there_are_no_quantiles_of_nothing():
    assert Durations().quantile(0.5) is None


def test_it_survives_a_restart():
    one, other = Durations(), Durations()
    for value in (1e-5, 2e-3, 2e-3, 500.0):
        one.add(value)
    other.restore(json.loads(json.dumps(one.state())))
    assert (other.counts, other.count, other.total) == (one.counts, one.count, one.total)


@pytest.mark.parametrize("state", [{}, {"counts": {"9999": 1}, "total": 0}, {"counts": {"1": -1}, "total": 0}])
def test_a_damaged_state_is_refused(state):
    with pytest.raises((KeyError, ValueError)):
        Durations().restore(state)
