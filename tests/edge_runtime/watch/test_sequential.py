from __future__ import annotations

import json

import numpy as np
import pytest

from edge_runtime.watch.adwin import Adwin
from edge_runtime.watch.alarms import Alarms
from edge_runtime.watch.page_hinkley import PageHinkley
from edge_runtime.watch.sequential import Sequential

SIZE = 200


def watch(values, make=Adwin, **options):
    alarms = Alarms()
    stream = Sequential("it", "confidence", make(), SIZE, alarms, "7", **options)
    for start in range(0, len(values), 50):
        part = values[start : start + 50].tolist()
        stream.add(part, start + 1, start + len(part), float(start))
    return alarms, stream


def standard():
    return PageHinkley(delta=0.25, threshold=25, alpha=1)


@pytest.mark.parametrize(("make", "scale"), [(Adwin, 0.1), (standard, 1.0)])
def test_a_lasting_change_is_an_alarm_over_two_windows(make, scale):
    random = np.random.default_rng(0)
    alarms, _ = watch(scale * np.r_[random.normal(5, 1, 1000), random.normal(3, 1, 1000)], make)
    (alarm,) = alarms.on()
    first, second = alarm.windows
    assert first.first <= 1100 and 1000 < first.last < second.first == first.last + 1
    assert f"confidence fell from a mean of {5 * scale:.1f}"[:30] in alarm.part
    assert "values before" in alarm.reference and alarm.what == "inputs changed"


def test_a_change_that_is_over_before_the_next_window_ends_is_no_alarm():
    random = np.random.default_rng(0)
    values = 0.1 * np.r_[random.normal(5, 1, 1000), random.normal(2, 1, 100), random.normal(5, 1, 1000)]
    assert any(Adwin.update(detector, v) for detector in [Adwin()] for v in values.tolist())
    alarms, _ = watch(values)
    assert not alarms.all()


def test_the_alarm_ends_when_the_stream_has_come_back():
    random = np.random.default_rng(0)
    values = 0.1 * np.r_[random.normal(5, 1, 1000), random.normal(3, 1, 1000), random.normal(5, 1, 1000)]
    alarms, _ = watch(values)
    assert not alarms.on()
    assert len(alarms.all()) == 1


def test_fewer_errors_are_no_alarm_and_more_are():
    random = np.random.default_rng(0)
    fewer = np.r_[random.random(1000) < 0.4, random.random(1000) < 0.1].astype(float)
    more = fewer[::-1]
    options = {"what": "error rate rose", "rising": True}
    assert not watch(fewer, **options)[0].all()
    (alarm,) = watch(more, **options)[0].on()
    assert str(alarm).startswith("error rate rose: it (confidence rose from a mean of 0.")


def test_steady_streams_raise_no_alarm():
    for seed in range(30):
        random = np.random.default_rng(seed)
        assert not watch((random.random(4000) < 0.1).astype(float))[0].all()


def test_a_restart_changes_nothing():
    random = np.random.default_rng(0)
    values = 0.1 * np.r_[random.normal(5, 1, 1000), random.normal(3, 1, 1000)]
    whole, _ = watch(values)
    alarms = Alarms()
    stream = Sequential("it", "confidence", Adwin(), SIZE, alarms, "7")
    for start in range(0, len(values), 50):
        stream.add(values[start : start + 50].tolist(), start + 1, start + 50, float(start))
        state, kept = json.loads(json.dumps(stream.state())), json.loads(json.dumps(alarms.state()))
        alarms = Alarms()
        alarms.restore(kept)
        stream = Sequential("it", "confidence", Adwin(), SIZE, alarms, "7")
        stream.restore(state)
    (one,), (other,) = whole.on(), alarms.on()
    assert one.windows == other.windows
    assert one.statistic == pytest.approx(other.statistic)
