from __future__ import annotations

import itertools
import json

import pytest

from edge_runtime.watch.alarms import Alarms
from edge_runtime.watch.reference import Reference
from edge_runtime.watch.windows import Windows

SIZE = 500


@pytest.fixture(scope="module")
def known(reference):
    return Reference(reference)


def feed(windows, known, samples, first):
    for start in range(0, len(samples[0]), SIZE):
        rows = known.layout.rows(*(part[start : start + SIZE] for part in samples))
        windows.add(rows, first + start, first + start + len(rows) - 1, 1_000_000.0 + first + start)


def test_one_window_beyond_its_threshold_is_no_alarm_and_two_are(known, stream):
    alarms = Alarms()
    windows = Windows(known, SIZE, alarms, "7")
    feed(windows, known, stream(SIZE, 1), 1)
    feed(windows, known, stream(SIZE, 2, brightness=30), 501)
    assert windows.last["inputs"].beyond and not alarms.on()
    feed(windows, known, stream(SIZE, 3), 1001)
    feed(windows, known, stream(SIZE, 4, brightness=30), 1501)
    assert not alarms.on()
    feed(windows, known, stream(SIZE, 5, brightness=30), 2001)
    (alarm,) = (alarm for alarm in alarms.on() if alarm.detector == "inputs")
    assert (alarm.windows[0].first, alarm.windows[1].last) == (1501, 2500)


def test_an_alarm_names_detector_windows_and_reference_and_says_that_inputs_changed(known, stream):
    alarms = Alarms()
    windows = Windows(known, SIZE, alarms, "7")
    feed(windows, known, stream(2 * SIZE, 1, brightness=30), 1)
    text = str(next(alarm for alarm in alarms.on() if alarm.detector == "inputs"))
    assert text.startswith("inputs changed: inputs (")
    for part in (
        "observations 1-500 (n=500, 1970-01-12T13:46:41Z",
        "observations 501-1000",
        f"the bundle's reference {known.digest} (2000 samples)",
        "model version 7",
    ):
        assert part in text
    assert "wrong" not in text and "model is" not in text


def test_an_alarm_of_one_part_says_its_name_once(known, stream):
    alarms = Alarms()
    feed(Windows(known, SIZE, alarms, "7"), known, stream(2 * SIZE, 1, favoured=9), 1)
    found = {alarm.detector: str(alarm) for alarm in alarms.on()}
    assert found["classes"].startswith("inputs changed: classes is ")
    assert found["outputs"].startswith("inputs changed: outputs is ")


def test_it_ends_after_two_windows_within_and_not_after_one(known, stream):
    alarms = Alarms()
    windows = Windows(known, SIZE, alarms, "7")
    feed(windows, known, stream(2 * SIZE, 1, brightness=30), 1)
    feed(windows, known, stream(SIZE, 2), 1001)
    assert "inputs" in alarms
    feed(windows, known, stream(SIZE, 3), 1501)
    assert "inputs" not in alarms
    (over,) = (alarm for alarm in alarms.all() if alarm.detector == "inputs")
    assert over.ended == 1_000_000.0 + 1501
    assert alarms.raised["inputs"] == 1


def test_an_alarm_that_stays_on_is_raised_once(known, stream):
    alarms = Alarms()
    feed(Windows(known, SIZE, alarms, "7"), known, stream(6 * SIZE, 1, brightness=30), 1)
    assert alarms.raised["inputs"] == 1


def test_a_restart_in_the_middle_of_a_window_changes_nothing(known, stream):
    samples = stream(2 * SIZE, 1, brightness=30)
    whole, halved = (Windows(known, SIZE, Alarms(), "7") for _ in range(2))
    for windows, cuts in ((whole, [0, 500, 1000]), (halved, [0, 200, 500, 700, 1000])):
        for begin, end in itertools.pairwise(cuts):
            rows = known.layout.rows(*(part[begin:end] for part in samples))
            windows.add(rows, begin + 1, end, 5.0)
            state = json.loads(json.dumps(windows.state(), allow_nan=False))
            windows.restore(state)
    for name, verdict in whole.last.items():
        assert halved.last[name].statistic == pytest.approx(verdict.statistic)
    assert halved._before == whole._before


def test_the_state_does_not_grow(known, stream):
    windows = Windows(known, SIZE, Alarms(), "7")
    sizes = []
    for seed in range(6):
        feed(windows, known, stream(SIZE, seed), seed * SIZE)
        sizes.append(len(json.dumps(windows.state())))
    assert max(sizes) < sizes[1] + 200


@pytest.mark.parametrize(
    ("key", "value"),
    [("total", [1.0]), ("count", 500), ("count", -1), ("begin", float("inf")), ("before", {}), ("last", {"a": [1]})],
)
def test_a_damaged_state_is_refused(known, key, value):
    windows = Windows(known, SIZE, Alarms(), "7")
    with pytest.raises((KeyError, TypeError, ValueError)):
        windows.restore(windows.state() | {key: value})
