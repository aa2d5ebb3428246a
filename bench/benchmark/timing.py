"""One cell's rounds as figures: every model by itself, against the first, and which of them is the fastest.

``rounds[model]`` holds the seconds of calls by (placement, round). Ratios are formed from the rounds in which both
models ran, so that a cell cut off in the middle of a round still has them.

**Said.** *faster* when the whole interval of time(first) / time(this) is above 1.02, *slower* when it is below 1/1.02,
*within 2 %* when it lies between. Else there is *no difference to tell*: the interval holds that there is none, and
also one worth having. (Why 1.02: :mod:`compress.bench.figures`.)

**Typical time.** The median that is shown is the estimate that its interval belongs to: over openings the median of
their rounds' medians (:func:`compress.bench.stats.median_interval`). The median of all calls together is another
quantity: where openings, or calls, have two speeds, it says which of them was met more often. It is kept by its name.

**Outliers** are far from the median in both senses: by the spread of times, which may be next to nothing or that of one
of two humps, and by time itself.

**Fastest.** A model is out when another one's whole interval of the ratio to it is above 1.02. Whoever is left was not
shown to be slower than anyone; one alone is the fastest. That is one comparison for every pair, of which each errs in
one of forty cases on that side: among ten models in a tie, one may be left out by chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from compress.bench.benchmark import doubts as doubtful
from compress.bench.benchmark.results import Doubt, Metric, Said, Timing
from compress.bench.benchmark.tails import tail
from compress.bench.figures import WORTHWHILE, Interval
from compress.bench.stats import MIN_ROUNDS, median, median_interval, ratio_interval, widened

RESAMPLES = 1000
OUTLIER = 10
"""Standard deviations above the median, as estimated from the MAD."""
MAD_TO_SIGMA = 1.4826
OUTLIER_TIMES = 1.5
"""Times the median, which an outlier takes at least too."""
PERCENT = np.linspace(0, 1, 101)

Key = tuple[int, int]
Rounds = Mapping[Key, np.ndarray]


def timing(
    model: str,
    rounds: Rounds,
    first: Rounds | None,
    *,
    scenario: str,
    samples: int,
    warm_up: Mapping[str, Any] | None = None,
    doubts: Sequence[Doubt] = (),
) -> Timing:
    """One model's figures from its ``rounds``, of calls that have ``samples`` samples.

    ``first``: the rounds of the first model in seconds a *sample*, None for itself. Times of ``offline`` are given a
    sample too: a call is then a burst of several streams, whose length means nothing.
    """
    each = {key: block / samples for key, block in rounds.items()}
    rounds = each if scenario == "offline" else rounds
    keys = sorted(rounds)
    calls = [rounds[key] for key in keys]
    seconds = np.concatenate(calls)
    p50, p50_calls = _typical(rounds, keys, seconds), median(seconds)
    throughput = _throughput([each[key] for key in keys])
    ratio = None if first is None else paired(first, each)
    tails = [tail(calls, q) for q in (0.90, 0.99, 0.999)]
    outliers = _outliers(seconds, p50_calls)
    return Timing(
        model=model,
        samples=samples,
        n=int(seconds.size),
        rounds=len(keys),
        p50=p50,
        p90=tails[0],
        p99=tails[1],
        p999=tails[2],
        mean=float(seconds.mean()),
        slowest=float(seconds.max()),
        throughput=throughput,
        metric=_metric(scenario, tails, throughput),
        outliers=outliers,
        said=said(ratio, first is None),
        ratio_to_first=ratio,
        warm_up=dict(warm_up or {}),
        doubts=[*doubts, *doubtful.of_times(p50, p50_calls, outliers / seconds.size)],
        percentiles=tuple(np.quantile(seconds, PERCENT).tolist()),
        p50_calls=p50_calls,
    )


def paired(one: Rounds, other: Rounds) -> Interval | None:
    """time(one) / time(other), from the rounds that both have; None for too few."""
    keys = sorted(set(one) & set(other))
    if len(keys) < MIN_ROUNDS:
        return None
    (a, placements), (b, _) = _blocks(one, keys), _blocks(other, keys)
    return ratio_interval(a, b, placements)


def said(ratio: Interval | None, first: bool = False) -> Said:
    """What may be said of a ratio to the first model."""
    if first:
        return "first"
    if ratio is None:
        return "too few rounds"
    if ratio.low > WORTHWHILE:
        return "faster"
    if ratio.high < 1 / WORTHWHILE:
        return "slower"
    return "within 2 %" if ratio.low >= 1 / WORTHWHILE and ratio.high <= WORTHWHILE else "no difference to tell"


def fastest(rounds: Mapping[str, Rounds]) -> list[str]:
    """The models that none was shown to beat, in their order."""
    swift = sorted(rounds, key=lambda model: float(np.median(np.concatenate(list(rounds[model].values())))))
    beaten = {model for model in rounds if any(_beats(rounds[other], rounds[model]) for other in swift)}
    return [model for model in rounds if model not in beaten]


def alike(rounds: Mapping[str, Rounds], models: Sequence[str]) -> list[list[str]]:
    """The pairs among ``models`` that are shown to be within 2 % of each other."""
    pairs = combinations(models, 2)
    return [[one, other] for one, other in pairs if said(paired(rounds[one], rounds[other])) == "within 2 %"]


def _beats(one: Rounds, other: Rounds) -> bool:
    ratio = paired(other, one) if one is not other else None
    return ratio is not None and ratio.low > WORTHWHILE


def _blocks(rounds: Rounds, keys: Sequence[Key]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([np.median(rounds[key]) for key in keys]), np.array([placement for placement, _ in keys])


def _typical(rounds: Rounds, keys: Sequence[Key], seconds: np.ndarray) -> Interval:
    """With too few rounds for an interval: from the least to the largest of the calls' ``seconds``."""
    blocks, placements = _blocks(rounds, keys)
    if len(keys) >= MIN_ROUNDS:
        return median_interval(blocks, placements)
    return Interval(median(blocks), float(seconds.min()), float(seconds.max()))


def _outliers(seconds: np.ndarray, middle: float) -> int:
    deviation = MAD_TO_SIGMA * median(np.abs(seconds - middle))
    return int((seconds > max(middle + OUTLIER * deviation, OUTLIER_TIMES * middle)).sum())


def _throughput(each: Sequence[np.ndarray]) -> Interval:
    """Samples by the time that all calls took, from seconds a sample by round; its interval from resampled rounds."""
    done = np.array([block.size for block in each], float)
    took = np.array([block.sum() for block in each])
    value = float(done.sum() / took.sum())
    rates = done / took
    if done.size < MIN_ROUNDS:
        return Interval(value, min(value, float(rates.min())), max(value, float(rates.max())))
    index = np.random.default_rng(0).integers(done.size, size=(RESAMPLES, done.size))
    found = widened(value, done[index].sum(axis=1) / took[index].sum(axis=1), rates)
    return Interval(value, max(0.0, found.low), found.high)


def _metric(scenario: str, tails: Sequence[Interval | None], throughput: Interval) -> Metric:
    if scenario == "single-stream":
        return Metric("90th percentile of a sample, seconds", tails[0])
    if scenario == "multi-stream":
        return Metric("99th percentile of a query, seconds", tails[1])
    return Metric("samples per second", throughput)
