from __future__ import annotations

import pytest
from benchmark_example import CALM

from compress.bench.benchmark import doubts


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


def test_a_model_that_still_warms_or_was_fed_guessed_sizes_is_doubted():
    assert [d.word for d in doubts.of_model({"stationary": False}, {})] == ["still warming"]
    found = doubts.of_model({"stationary": True}, {"sequence": 128})
    assert [d.word for d in found] == ["sizes assumed"]
    assert "sequence = 128" in found[0].text
    assert doubts.of_model({}, {}) == []
