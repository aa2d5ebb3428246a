from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from compress.bench import stats
from compress.bench.figures import Interval

TRIALS = 400
# 95 % minus three standard errors of a share of TRIALS: a correct interval fails this once in 700 seeds.
ENOUGH = 0.95 - 3 * math.sqrt(0.95 * 0.05 / TRIALS)


def autocorrelated(rng: np.random.Generator, rounds: int, r: float) -> np.ndarray:
    noise = rng.standard_normal(rounds) * math.sqrt(1 - r * r)
    values = np.empty(rounds)
    values[0] = rng.standard_normal()
    for i in range(1, rounds):
        values[i] = r * values[i - 1] + noise[i]
    return values


def noisy_rounds(kind: str, rounds: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two variants equally fast, on a machine that drifts by 5 % and disturbs each of them in a way of its own."""
    drift = 0.05 * autocorrelated(rng, rounds, 0.95)
    if kind == "independent":
        own = 0.01 * rng.standard_normal((2, rounds))
    elif kind == "heavy tails":
        own = 0.01 * rng.standard_t(1.5, (2, rounds))
    elif kind == "spoilt rounds":
        spoilt = (rng.random((2, rounds)) < 0.3) * rng.exponential(0.3, (2, rounds))
        own = 0.01 * rng.standard_normal((2, rounds)) + spoilt
    else:
        own = 0.01 * np.stack([autocorrelated(rng, rounds, 0.4) for _ in range(2)])
    return np.exp(drift + own[0]), np.exp(drift + own[1])


@pytest.mark.parametrize("kind", ["independent", "heavy tails", "spoilt rounds", "slow spells"])
@pytest.mark.parametrize("rounds", [20, 40])
def test_a_against_a_holds_1_in_95_percent_of_trials(kind, rounds):
    rng = np.random.default_rng(7)
    held = 0
    for trial in range(TRIALS):
        interval = stats.ratio_interval(*noisy_rounds(kind, rounds, rng), resamples=800, seed=trial)
        held += interval.low <= 1 <= interval.high
    assert held / TRIALS >= ENOUGH


def test_a_true_speed_up_of_five_percent_is_seen_through_drift():
    rng = np.random.default_rng(3)
    slow, fast = noisy_rounds("slow spells", 40, rng)
    interval = stats.ratio_interval(1.05 * slow, fast)
    assert 1.02 < interval.low < 1.05 < interval.high < 1.08


def test_pairing_cancels_what_both_variants_suffer():
    rng = np.random.default_rng(0)
    machine = np.exp(rng.normal(0, 0.5, 30))
    interval = stats.ratio_interval(2.0 * machine, machine)
    assert (interval.value, interval.low, interval.high) == pytest.approx((2.0, 2.0, 2.0))


def test_autocorrelated_rounds_give_a_wider_interval_than_the_same_rounds_shuffled():
    rng = np.random.default_rng(5)
    times = np.exp(0.05 * autocorrelated(rng, 60, 0.8))
    spells = stats.median_interval(times)
    shuffled = stats.median_interval(rng.permutation(times))
    assert spells.high / spells.low > shuffled.high / shuffled.low


def test_ratio_interval_is_the_same_for_the_same_seed():
    a, b = noisy_rounds("independent", 20, np.random.default_rng(1))
    assert stats.ratio_interval(a, b, seed=4) == stats.ratio_interval(a, b, seed=4)


@given(st.lists(st.floats(1e-7, 1e3), min_size=stats.MIN_ROUNDS, max_size=30), st.floats(1e-3, 1e3), st.data())
@settings(max_examples=60, deadline=None)
def test_ratio_interval_holds_its_value_and_does_not_depend_on_the_unit(times, unit, data):
    other = data.draw(st.lists(st.floats(1e-7, 1e3), min_size=len(times), max_size=len(times)))
    a, b = np.array(times), np.array(other)
    interval = stats.ratio_interval(a, b, resamples=200)
    assert 0 < interval.low <= interval.value <= interval.high
    assert stats.ratio_interval(a * unit, b * unit, resamples=200).value == pytest.approx(interval.value, rel=1e-6)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.ones(5), np.ones(5), "at least 6 rounds"),
        (np.ones(8), np.ones(7), "8 and 7 rounds"),
        (np.zeros(8), np.ones(8), "above 0"),
        (np.full(8, np.nan), np.ones(8), "finite"),
    ],
)
def test_ratio_interval_refuses_rounds_that_cannot_be_compared(a, b, message):
    with pytest.raises(ValueError, match=message):
        stats.ratio_interval(a, b)


# Newcombe 1998, Statistics in Medicine 17:857-872, table I, method 3.
@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_published_values(correct, n, low, high):
    interval = stats.wilson(correct, n)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share_and_agrees_with_scipy(counts):
    correct, n = counts
    interval = stats.wilson(correct, n)
    assert 0 <= interval.low <= interval.value <= interval.high <= 1
    theirs = scipy_stats.binomtest(correct, n).proportion_ci(method="wilson")
    assert (interval.low, interval.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


# Fagerland, Lydersen & Laake 2014, Statistics in Medicine 33:2850-2875: airway hyper-responsiveness, complete response.
@pytest.mark.parametrize(
    ("lost", "won", "n", "low", "high", "p"),
    [(1, 7, 21, -0.517, -0.026, 0.0703), (6, 16, 161, -0.124, -0.0054, 0.0525)],
)
def test_tango_and_mcnemar_give_published_values(lost, won, n, low, high, p):
    interval = stats.tango(lost, won, n)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=6e-4)
    assert stats.mcnemar(won, lost) == pytest.approx(p, abs=5e-5)


FLIPS = st.integers(1, 100_000).flatmap(
    lambda n: st.integers(0, n).flatmap(lambda a: st.tuples(st.just(a), st.integers(0, n - a), st.just(n)))
)


@given(FLIPS)
@settings(deadline=None)
def test_tango_is_ordered_bounded_and_antisymmetric(flips):
    lost, won, n = flips
    interval, mirrored = stats.tango(lost, won, n), stats.tango(won, lost, n)
    assert -1 <= interval.low <= interval.value <= interval.high <= 1
    assert (-mirrored.high, -mirrored.low) == pytest.approx((interval.low, interval.high), abs=1e-9)


@given(FLIPS)
@settings(deadline=None)
def test_tango_excludes_zero_exactly_when_mcnemars_score_test_does(flips):
    lost, won, n = flips
    assume(lost + won > 0)
    z = abs(lost - won) / math.sqrt(lost + won)
    assume(abs(z - 1.959964) > 1e-3)
    interval = stats.tango(lost, won, n)
    assert (interval.low > 0 or interval.high < 0) == (z > 1.959964)


@pytest.mark.parametrize(("p_lost", "p_won"), [(0.02, 0.01), (0.005, 0.005), (0.001, 0.0), (0.1, 0.02)])
def test_tango_covers_the_true_drop(p_lost, p_won):
    rng = np.random.default_rng(11)
    n = 2000
    counts = rng.multinomial(n, [p_lost, p_won, 1 - p_lost - p_won], size=TRIALS)
    covered = 0
    for lost, won, _ in counts.tolist():
        interval = stats.tango(lost, won, n)
        covered += interval.low <= p_lost - p_won <= interval.high
    assert covered / TRIALS >= ENOUGH


@given(st.integers(0, 60_000), st.integers(0, 40_000))
@settings(max_examples=60, deadline=None)
def test_mcnemar_agrees_with_scipys_binomial_test(better, worse):
    assume(better + worse > 0)
    theirs = scipy_stats.binomtest(better, better + worse).pvalue
    assert stats.mcnemar(better, worse) == pytest.approx(theirs, rel=1e-7, abs=1e-280)  # where scipy's falls to 0


def test_mcnemar_is_one_without_flips():
    assert stats.mcnemar(0, 0) == 1.0


def test_paired_difference_counts_flips_both_ways():
    reference = np.array([1, 1, 1, 0, 0, 1], dtype=bool)
    other = np.array([1, 0, 0, 1, 0, 1], dtype=bool)
    difference = stats.paired_difference(reference, other)
    assert (difference.worse, difference.better, difference.n) == (2, 1, 6)
    assert difference.value == pytest.approx(1 / 6)


def test_accuracy_of_the_same_answers_loses_nothing():
    labels = np.arange(100) % 10
    predicted = np.where(np.arange(100) < 90, labels, labels + 1)
    judged = stats.accuracy(predicted, labels, teacher=predicted)
    assert judged.correct == 90
    assert judged.drop_vs_parent is None
    assert (judged.drop_vs_teacher.value, judged.drop_vs_teacher.p_mcnemar) == (0.0, 1.0)


def test_accuracy_refuses_logits_where_classes_are_meant():
    with pytest.raises(ValueError, match="one class a sample"):
        stats.accuracy(np.zeros((5, 10)), np.zeros(5))


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(-0.01, 0.009, True), (0.0, 0.01, True), (0.011, 0.02, False), (0.001, 0.02, None)]
)
def test_non_inferiority_needs_the_whole_interval(low, high, expected):
    assert stats.non_inferior(Interval((low + high) / 2, low, high), 0.01) is expected


def test_latency_summary_describes_all_calls_and_gives_the_median_an_interval():
    calls = [np.full(10, 0.001 * level) for level in (1.0, 1.1, 0.9, 1.0, 1.05, 0.95, 1.0)]
    latency = stats.summarize_latency(calls, batch=4)
    assert latency.n == 70
    assert latency.p50 == pytest.approx(0.001)
    assert latency.throughput == pytest.approx(4000)
    assert latency.interval.low <= 0.001 <= latency.interval.high
    assert latency.percentiles[0] == pytest.approx(0.0009)
    assert len(latency.percentiles) == 101


def test_the_median_is_the_estimate_that_its_interval_belongs_to():
    # Fast rounds hold more calls, so the median of all calls is not that of the rounds.
    latency = stats.summarize_latency([np.full(20 if i < 4 else 2, 0.001 if i < 4 else 0.002) for i in range(12)])
    assert latency.p50_calls == pytest.approx(0.001)
    assert latency.interval.value == latency.p50 == pytest.approx(0.002)
    assert latency.interval.low <= latency.p50 <= latency.interval.high
    steady = stats.summarize_latency([np.full(50, 0.001), *[np.full(2, 0.002)] * 11])
    assert (steady.interval.low, steady.interval.high) == pytest.approx((0.002, 0.002))  # not stretched to 0.001


def test_latency_summary_of_few_rounds_has_no_interval():
    assert stats.summarize_latency([np.full(3, 0.001)] * 3).interval is None


def test_quantile_refuses_nothing_and_nan():
    for values in ([], [1.0, math.nan]):
        with pytest.raises(ValueError, match="at least one value"):
            stats.quantile(np.array(values), 0.5)


def test_what_stays_fixed_while_a_model_is_open_is_in_the_interval():
    """Rounds that agree to 0.01 % as long as the models are open, and openings that differ by 0.3 %."""
    rng = np.random.default_rng(1)
    opened_once, opened_anew = np.zeros(40, int), np.repeat(np.arange(8), 5)
    held = dict.fromkeys(("once", "anew"), 0)
    for _ in range(200):
        one, two = np.exp(rng.normal(0, 1e-4, (2, 40)))
        for name, placements in (("once", opened_once), ("anew", opened_anew)):
            shift = np.exp(rng.normal(0, 0.003, 8))[placements]
            interval = stats.ratio_interval(one * shift, two, placements, resamples=200)
            held[name] += interval.low <= 1 <= interval.high
    assert held["once"] < 50
    assert held["anew"] >= 180


@pytest.mark.parametrize("n", [6, 8, 12])
def test_the_interval_over_placements_is_wilcoxons(n):
    """A point is inside exactly when the signed-rank test does not reject it."""
    values = np.random.default_rng(n).normal(0.01, 0.003, n)
    found = stats.ratio_interval(np.exp(values), np.ones(n), np.arange(n))
    for bound, outward in ((math.log(found.low), -1e-9), (math.log(found.high), 1e-9)):
        assert scipy_stats.wilcoxon(values - bound - outward, method="exact").pvalue <= 0.05
        assert scipy_stats.wilcoxon(values - bound + outward, method="exact").pvalue > 0.05
