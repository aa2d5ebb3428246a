from __future__ import annotations

import benchmark_example
import pytest
from benchmark_example import CALM

from compress.bench.benchmark import doubts
from compress.bench.benchmark.analyse import analyse
from compress.bench.figures import Interval


def said(after=(), before=(), worst=None):
    conditions = {"before": CALM | dict(before), "after": CALM | dict(after)}
    return [doubt.word for doubt in doubts.of_conditions(conditions | ({"worst": CALM | worst} if worst else {}))]


def test_a_calm_machine_gives_no_doubt():
    assert said() == []


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"governor": "powersave"}, "governor"),
        ({"governor": "ondemand+performance"}, "governor"),
        ({"throttled": True}, "throttled"),
        ({"under_voltage": True}, "under-voltage"),
        ({"frequency": 2.2e9}, "clock moved"),
        ({"others": 0.11}, "others"),
    ],
)
def test_each_thing_that_spoils_a_measurement_has_its_word(changed, word):
    assert said(after=changed) == [word]


def test_throttling_between_two_looks_is_seen_from_its_count():
    assert said(before={"throttle_count": 3}, after={"throttle_count": 5}) == ["throttled"]
    assert said(before={"throttle_count": 5}, after={"throttle_count": 5}) == []


def test_the_worst_moment_counts_too():
    assert said(worst={"throttled": True, "others": 0.5}) == ["throttled", "others"]


def test_what_cannot_be_read_is_no_doubt():
    assert said(before=dict.fromkeys(CALM), after=dict.fromkeys(CALM)) == []
    assert doubts.of_conditions({}) == []


@pytest.mark.parametrize(
    ("rounds", "ended_by", "precision", "words"),
    [
        (40, "precision", 0.01, []),
        (40, "seconds", 0.01, ["time ran out"]),
        (40, "seconds", 0.0, []),
        (8, "seconds", 0.0, ["few rounds"]),
        (3, "interrupted", 0.01, ["partial", "few rounds"]),
    ],
)
def test_how_a_cell_ended_may_be_a_doubt(rounds, ended_by, precision, words):
    assert [doubt.word for doubt in doubts.of_cell(rounds, ended_by, precision)] == words


def test_a_warm_up_too_short_to_tell_is_not_said_to_go_on():
    found = doubts.of_model({"stationary": None, "blocks": 4}, {})
    assert [d.word for d in found] == ["short warm-up"]
    assert "4 blocks" in found[0].text and "becoming" not in found[0].text


@pytest.mark.parametrize(
    ("of_calls", "outliers", "words"),
    [
        (1.005, 0.0, []),  # inside
        (1.0301, 0.0, ["two speeds"]),
        (0.9, 0.0, ["two speeds"]),
        (1.0, 0.09, []),
        (1.0, 0.2, ["two speeds"]),
    ],
)
def test_times_that_one_number_does_not_describe_are_doubted(of_calls, outliers, words):
    assert [d.word for d in doubts.of_times(Interval(1.0, 0.98, 1.03), of_calls, outliers)] == words


def test_next_to_no_distance_is_no_doubt_however_narrow_the_interval():
    assert doubts.of_times(Interval(1.0, 0.9999, 1.0001), 1.005, 0.0) == []


def test_a_model_that_still_warms_or_was_fed_guessed_sizes_is_doubted():
    assert [d.word for d in doubts.of_model({"stationary": False}, {})] == ["still warming"]
    found = doubts.of_model({"stationary": True}, {"sequence": 128})
    assert [d.word for d in found] == ["sizes assumed"]
    assert "sequence = 128" in found[0].text
    assert doubts.of_model({}, {}) == []


def test_another_benchmark_at_the_same_time_is_a_doubt_of_the_cell():
    assert [d.word for d in doubts.of_conditions({"before": CALM, "worst": CALM | {"measuring": 1}})] == [
        "another benchmark"
    ]
    assert doubts.of_conditions({"before": CALM, "worst": CALM | {"measuring": 0}}) == []


def test_more_threads_than_cores_are_a_doubt():
    (found,) = doubts.of_threads(8, 2)
    assert found.word == "more threads than cores" and "8 threads share 2 cores" in found.text
    assert doubts.of_threads(2, 2) == doubts.of_threads(8, None) == []


def test_a_cell_with_more_threads_than_its_machine_has_cores_says_so():
    asked = benchmark_example.plan(threads=(4, 8), batches=(1,), scenarios=("single-stream",))
    cells = analyse(benchmark_example.stream(asked), target="pi").cells  # of 4 cores
    assert [[doubt.word for doubt in cell.doubts] for cell in cells] == [[], ["more threads than cores"]]
