from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift

from edge_runtime.watch import page_hinkley
from edge_runtime.watch.page_hinkley import PageHinkley


def found(detector, values):
    changes = []
    for index, value in enumerate(values):
        if isinstance(detector, PageHinkley):
            if detector.update(value):
                changes.append(index)
        else:
            detector.update(value)
            if detector.drift_detected:
                changes.append(index)
    return changes


def streams():
    for seed in range(6):
        random = np.random.default_rng(seed)
        yield f"steady-{seed}", random.random(4000)
        yield f"abrupt-{seed}", np.r_[random.normal(0.3, 0.2, 1500), random.normal(0.9, 0.2, 1500)]
        yield f"fall-{seed}", np.r_[random.normal(3, 1, 1500), random.normal(1, 1, 1500)]
        yield f"gradual-{seed}", random.normal(np.linspace(0, 2, 3000), 0.5)
        yield f"errors-{seed}", np.r_[random.random(1500) < 0.1, random.random(1500) < 0.4].astype(float)


@pytest.mark.parametrize(("name", "values"), list(streams()), ids=lambda value: value if isinstance(value, str) else "")
@pytest.mark.parametrize("threshold", [5, 50])
def test_every_change_is_found_at_the_value_where_river_finds_it(name, values, threshold):
    values = values.tolist()
    ours = found(PageHinkley(threshold=threshold), values)
    assert ours == found(drift.PageHinkley(threshold=threshold), values)
    assert ours or name.startswith(("steady", "errors")) or threshold == 50


def test_direction_and_past_of_a_change_are_told():
    random = np.random.default_rng(0)
    detector = PageHinkley(delta=0.25, threshold=20, alpha=1)
    assert found(detector, random.normal(0, 1, 1000).tolist() + random.normal(-2, 1, 30).tolist())
    assert detector.direction == -1
    mean, count = detector.before
    assert mean == pytest.approx(0, abs=0.1)
    assert count == pytest.approx(1000, abs=100)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=200), st.integers(0, 200))
def test_a_restored_detector_goes_on_as_if_nothing_had_happened(values, cut):
    one, other = PageHinkley(threshold=5), PageHinkley(threshold=5)
    found(one, values[:cut])
    other.restore(json.loads(json.dumps(one.state())))
    assert found(one, values[cut:]) == found(other, values[cut:])
    assert one.before == other.before or not found(one, [])


@pytest.mark.parametrize("state", [{}, {"count": 1, "sums": [1], "lowest": 0, "at": [[0, 0], [0, 0]]}])
def test_a_damaged_state_is_refused(state):
    with pytest.raises((KeyError, TypeError, ValueError)):
        PageHinkley().restore(state)


def test_a_calibrated_threshold_is_crossed_by_one_steady_stream_in_a_hundred():
    """400 other streams: with a true rate of 1 %, more than 12 alarms have a probability of 0.1 %."""
    random = np.random.default_rng(3)
    values = random.exponential(1, 5000) - 1  # skewed, as confidence is
    settings = page_hinkley.calibrate(values, 0)
    alarms = 0
    for _ in range(60):
        detector = PageHinkley(settings["delta"], settings["threshold"], settings["alpha"])
        alarms += bool(found(detector, random.choice(values, page_hinkley.STREAM // 2).tolist()))
    assert alarms <= 4
    detector = PageHinkley(settings["delta"], settings["threshold"], settings["alpha"])
    assert found(detector, [*random.choice(values, 500), *(random.choice(values, 500) + 1)])
