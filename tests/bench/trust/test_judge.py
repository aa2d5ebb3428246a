from __future__ import annotations

import numpy as np
import pytest
from trust_example import outcome

from compress.bench.figures import Interval
from compress.bench.trust import judge
from compress.bench.trust.lines import lines, table
from compress.bench.trust.outcomes import Outcomes

OTHER = "Olive's latency metric"


@pytest.mark.parametrize(
    ("said", "alarm"), [("faster", 1), ("slower", 1), ("within 2 %", 0), ("no difference to tell", 0)]
)
def test_our_alarm_is_our_word(said: str, alarm: int) -> None:
    assert judge.alarms([outcome(said=said)]).hits == alarm


@pytest.mark.parametrize(("second", "alarm"), [(1.03, 1), (0.97, 1), (1.01, 0), (0.99, 0)])
def test_an_alarm_of_two_bare_numbers_is_a_ratio_beyond_two_percent(second: float, alarm: int) -> None:
    assert judge.alarms([outcome(figures=(1.0, second), ratio=None, said=None)]).hits == alarm


def test_a_slowdown_is_seen_when_it_is_called_slower() -> None:
    known = [
        ((0.95, 0.93, 0.97), "slower"),
        ((0.98, 0.97, 0.99), "no difference to tell"),
        ((1.1, 1.05, 1.2), "faster"),
    ]
    found = [outcome(ratio=ratio, said=said) for ratio, said in known]
    assert judge.seen(found) == judge.Rate(1, 3)
    assert judge.excludes_one(found) == judge.Rate(3, 3)


def test_of_two_bare_numbers_only_a_slower_second_is_a_slowdown() -> None:
    found = [outcome(figures=(1.0, second), ratio=None, said=None) for second in (1.05, 1.01, 0.9)]
    assert judge.seen(found) == judge.Rate(1, 3)


def test_pairs_are_compared_pair_by_pair() -> None:
    drift = np.exp(np.random.default_rng(0).normal(0, 0.5, 20))  # the machine's, far larger than the difference
    found = [outcome(i, figures=(1.01 * level, level)) for i, level in enumerate(drift)]
    interval = judge.paired(found)
    assert interval.low == pytest.approx(1.01) == interval.high
    assert judge.paired(found[:5]) is None


def test_the_spread_is_that_of_all_figures() -> None:
    n, middle, deviation, span = judge.spread([outcome(figures=(1.0, 2.0)), outcome(figures=(2.0, 3.0))])
    assert (n, middle, span) == (4, 2.0, 3.0)
    assert deviation == pytest.approx(np.std([1, 2, 2, 3], ddof=1) / 2)


def _told(tmp_path, outcomes) -> dict[str, bool | None]:
    found = Outcomes(tmp_path / "outcomes.jsonl")
    for one in outcomes:
        found.add(one)
    return {text: met for met, text in lines(found)}


def test_too_few_trials_promise_nothing(tmp_path) -> None:
    told = _told(tmp_path, [outcome(i) for i in range(99)])
    assert list(told.values()) == [None]


@pytest.mark.parametrize(("alarms", "met"), [(5, True), (6, False)])
def test_false_alarms_are_judged_over_100_trials(tmp_path, alarms: int, met: bool) -> None:
    told = _told(tmp_path, [outcome(i, said="slower" if i < alarms else "within 2 %") for i in range(100)])
    assert list(told.values()) == [met]
    assert f"{alarms} of 100 = {alarms}%" in next(iter(told))


@pytest.mark.parametrize(("missed", "longest", "met"), [(2, 20, True), (3, 20, False), (0, 61, False)])
def test_slowdowns_must_be_seen_and_soon(tmp_path, missed: int, longest: float, met: bool) -> None:
    said = ["no difference to tell" if i < missed else "slower" for i in range(40)]
    told = _told(tmp_path, [outcome(i, "slowdown", said=word, seconds=longest) for i, word in enumerate(said)])
    assert list(told.values()) == [met]


@pytest.mark.parametrize(
    ("ours", "noise", "agrees"),
    [(1.0, 0.002, True), (1.015, 0.002, False), (0.97, 0.002, False), (1.0, 0.3, None), (1.015, 0.3, None)],
)
def test_agreement_is_a_narrow_interval_over_pairs_that_holds_1(tmp_path, ours: float, noise: float, agrees) -> None:
    noise = np.random.default_rng(1).normal(0, noise, 20)
    pairs = [(ours * (1 + one), 1.0) for one in noise]
    loop = "onnxruntime perf_test loop"
    told = _told(
        tmp_path, [outcome(i, "agreement", tool=loop, model="small", figures=pair) for i, pair in enumerate(pairs)]
    )
    assert list(told.values()) == [agrees]


def test_what_another_tool_does_not_time_is_taken_away_first(tmp_path) -> None:
    noise = np.random.default_rng(1).normal(0, 0.002, 20)
    pairs = [
        outcome(i, "agreement", tool="benchmark_app", model="usual", figures=(1.03 * (1 + one), 1.0))
        for i, one in enumerate(noise)
    ]
    apart = {"tool": "compress bench on OpenVINO", "model": "usual", "neighbour": "none"}
    for name, ratio, agrees in (("none", None, False), ("all", (1.03, 1.02, 1.04), True), ("part", (1.01,) * 3, False)):
        more = [outcome(0, "overhead", ratio=ratio, **apart)] if ratio else []
        told = _told(tmp_path / name, pairs + more)
        assert [met for text, met in told.items() if "benchmark_app" in text] == [agrees]
        assert all(met is None for text, met in told.items() if "handing arrays over: " in text)


def test_taking_a_part_away_adds_its_uncertainty() -> None:
    left = judge.without(Interval(1.03, 1.02, 1.05), Interval(1.03, 1.03, 1.03))
    assert (left.value, left.low, left.high) == pytest.approx((1.0, 1.02 / 1.03, 1.05 / 1.03))
    wide = judge.without(Interval(1.03, 1.02, 1.05), Interval(1.03, 1.0, 1.06))
    assert wide.low < left.low and wide.high > left.high


@pytest.mark.parametrize(
    ("ratio", "met"), [((1.01, 1.0, 1.02), True), ((1.02, 1.01, 1.03), None), ((1.03, 1.021, 1.04), False)]
)
def test_overhead_is_met_when_the_whole_interval_is(tmp_path, ratio: tuple[float, float, float], met) -> None:
    assert list(_told(tmp_path, [outcome(0, "overhead", ratio=ratio)]).values()) == [met]


def test_the_table_has_a_row_for_every_tool_that_was_tried(tmp_path) -> None:
    found = Outcomes(tmp_path / "outcomes.jsonl")
    for i in range(3):
        found.add(outcome(i))
        found.add(outcome(i, tool=OTHER, ratio=None, said=None))
    rows = table(found)
    assert len(rows) == 4 and OTHER in rows[3] and "3 of 3 = 100%" in rows[3] and "not tried" in rows[3]
    assert len({row.count("|") for row in rows}) == 1
