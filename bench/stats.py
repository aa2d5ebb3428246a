"""Statistics for two questions: is it faster, and is it still as accurate.

**Latency** (:func:`ratio_interval`). The probe runs every variant once a round, in random order, so that drift of the
machine hits all alike; what is left of a round is the logarithm of a ratio of two block medians. Over the rounds:

1. The estimate is the median of those log-ratios: half of the rounds may be spoilt by other tenants of the machine.
2. Rounds are resampled jointly for both variants, which keeps the pairing.
3. The interval is the percentile interval, expanded with Student's t (Hesterberg 2015, *What Teachers Should Know About
   the Bootstrap*, section 5): a plain percentile interval is too narrow for few rounds.
4. Slow spells last several rounds, so that rounds are not independent. The interval is therefore stretched by
   ``sqrt((1 + r) / (1 - r))``, the standard error's inflation for an autocorrelation r from round to round (AR(1)).
   r is estimated from ranks, so that one spoilt round does not hide it, and one standard error (``1 / sqrt(rounds)``)
   is added, because it is underestimated in short series. A block bootstrap with Politis & White's run length was tried
   and covered less: 40 rounds hold too few runs.

In simulations (1500 trials each) an A/A comparison held 1 in 97 to 98 % of trials with 20 to 100 independent rounds,
with heavy tails (Student's t, 1.5 degrees of freedom) and with a third of the rounds spoilt by 30 %; in 95 to 97 % with
r up to 0.5, and in 91 to 96 % with r = 0.7. With 6 to 10 rounds: 98 to 99 % where they are independent, 92 to 93 % with
r = 0.5. Saying "cannot tell" once too often is cheaper than promising a speed-up which is not there.

An interval over rounds knows nothing of what stays fixed during a run, such as where memory happened to be placed: two
sessions of one file differed by 0.1 to 0.4 %, and the interval over rounds held 1 in 7 of 20 tries. Where the probe
opened the variants several times, each opening (placement) therefore counts once: its value is the median of its
rounds' log-ratios. The estimate is Hodges and Lehmann's over placements, the median of all pairwise means, and the
interval Wilcoxon's signed-rank interval (Hollander & Wolfe, *Nonparametric Statistical Methods*, section 3.2 and 3.3):
exact for few values of any symmetric distribution, and not upset by a spoilt one. A verdict also asks for a minimum
effect (see :mod:`compress.bench.run.verdict`).

**Accuracy**. One proportion: Wilson's score interval (1927). Two models on the same samples: Tango's score interval for
paired proportions (1998, *Statistics in Medicine* 17:891-908), which agrees with McNemar's test, stays sensible with no
or few flips and was proposed for exactly the non-inferiority question; and McNemar's exact test. All treat samples as
independent: several recordings of one subject are not, and then these intervals are too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np

from compress.bench.figures import Accuracy, Interval, Latency, PairedDifference

LEVEL = 0.95
RESAMPLES = 4000
# All of five rounds lie on one side of the true median in 1 of 16 runs: no interval over so few can reach 95 %.
MIN_ROUNDS = 6
# Wilcoxon's interval over five placements cannot reach 95 % either.
MIN_PLACEMENTS = 6


def median(values: np.ndarray) -> float:
    """The median of one or more values."""
    return quantile(values, 0.5)


def quantile(values: np.ndarray, q: float) -> float:
    """The ``q`` quantile (0 to 1) with linear interpolation between order statistics (Hyndman & Fan's type 7)."""
    values = np.asarray(values, dtype=np.float64)
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError("a quantile needs at least one value, and finite ones only")
    return float(np.quantile(values, q))


def summarize_latency(
    calls: Sequence[np.ndarray],
    batch: int = 1,
    *,
    ratio_to_teacher: Interval | None = None,
    ratio_to_torch: Interval | None = None,
    ratio_to_parent: Interval | None = None,
    placements: np.ndarray | None = None,
) -> Latency:
    """Describe one variant's ``calls``: for every round an array of seconds a call.

    From ``MIN_ROUNDS`` rounds on the median is the typical block's (:func:`median_interval`), and the interval is its
    own; with fewer it is that of the block medians, without one. The median of all calls is another quantity where
    openings or calls have two speeds; it is kept by its name.
    """
    seconds = np.concatenate([np.asarray(block, dtype=np.float64) for block in calls])
    blocks = np.array([median(block) for block in calls])
    interval = median_interval(blocks, placements) if len(blocks) >= MIN_ROUNDS else None
    p50 = interval.value if interval else median(blocks)
    return Latency(
        p50=p50,
        p90=quantile(seconds, 0.90),
        p99=quantile(seconds, 0.99),
        mean=float(seconds.mean()),
        throughput=batch / p50,
        n=int(seconds.size),
        ratio_to_teacher=ratio_to_teacher,
        ratio_to_torch=ratio_to_torch,
        ratio_to_parent=ratio_to_parent,
        interval=interval,
        percentiles=tuple(np.quantile(seconds, np.linspace(0, 1, 101)).tolist()),
        p50_calls=median(seconds),
    )


def ratio_interval(
    reference: np.ndarray,
    other: np.ndarray,
    placements: np.ndarray | None = None,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """How many times as fast ``other`` is as ``reference``, from their block medians (rounds,) in seconds, paired.

    ``placements`` (rounds,): which opening of the models each round ran on.
    Raises ValueError for fewer than ``MIN_ROUNDS`` rounds, unequal lengths or times that are not above 0.
    """
    reference, other = _times(reference), _times(other)
    if reference.shape != other.shape:
        raise ValueError(f"the ratio is paired by round, and there are {reference.size} and {other.size} rounds")
    return _exp(_interval(np.log(reference) - np.log(other), placements, level, resamples, seed))


def median_interval(
    blocks: np.ndarray,
    placements: np.ndarray | None = None,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """The typical block median of (rounds,) in seconds, with the same interval as :func:`ratio_interval`."""
    return _exp(_interval(np.log(_times(blocks)), placements, level, resamples, seed))


def wilson(correct: int, n: int, *, level: float = LEVEL) -> Interval:
    """Wilson's score interval of a proportion: never outside 0 to 1, and never of no width."""
    if not 0 <= correct <= n or n == 0:
        raise ValueError(f"correct must lie between 0 and n, n above 0; got {correct} of {n}")
    z2 = _z(level) ** 2
    centre = (correct + z2 / 2) / (n + z2)
    half = math.sqrt(z2 * (correct * (n - correct) / n + z2 / 4)) / (n + z2)
    # At the ends the exact bounds are 0 and 1; rounding must not put the estimate outside its interval.
    low = 0.0 if correct == 0 else max(0.0, centre - half)
    high = 1.0 if correct == n else min(1.0, centre + half)
    return Interval(correct / n, low, high)


def accuracy(
    predicted: np.ndarray,
    labels: np.ndarray,
    *,
    teacher: np.ndarray | None = None,
    parent: np.ndarray | None = None,
) -> Accuracy:
    """Accuracy of ``predicted`` classes (N,), and what was lost against those named by ``teacher`` and ``parent``."""
    right = _right(predicted, labels)
    correct, n = int(right.sum()), int(right.size)
    interval = wilson(correct, n)
    return Accuracy(
        correct=correct,
        n=n,
        value=interval.value,
        interval=interval,
        drop_vs_teacher=None if teacher is None else paired_difference(_right(teacher, labels), right),
        drop_vs_parent=None if parent is None else paired_difference(_right(parent, labels), right),
    )


def paired_difference(reference: np.ndarray, other: np.ndarray, *, level: float = LEVEL) -> PairedDifference:
    """Accuracy that ``other`` lost against ``reference``; both (N,) bool, right or wrong on the same samples."""
    reference, other = np.asarray(reference, dtype=bool), np.asarray(other, dtype=bool)
    if reference.shape != other.shape or reference.ndim != 1 or reference.size == 0:
        raise ValueError(f"both need the same samples, at least one; got {reference.shape} and {other.shape}")
    worse, better = int((reference & ~other).sum()), int((~reference & other).sum())
    interval = tango(worse, better, int(reference.size), level=level)
    p = mcnemar(better, worse)
    return PairedDifference(interval.value, interval.low, interval.high, p, better, worse, int(reference.size))


def tango(lost: int, won: int, n: int, *, level: float = LEVEL) -> Interval:
    """Tango's score interval of ``(lost - won) / n`` from the discordant counts of ``n`` pairs."""
    if min(lost, won) < 0 or lost + won > n or n == 0:
        raise ValueError(f"lost and won must not be negative or more than n together; got {lost}, {won} of {n}")
    z = _z(level)
    value = (lost - won) / n

    def score(delta: float) -> float:
        # `rest` is the larger root of the likelihood equation: P(won) if the true difference were `delta`.
        b = -lost - won + (2 * n - lost + won) * delta
        rest = (math.sqrt(max(0.0, b * b + 8 * n * won * delta * (1 - delta))) - b) / (4 * n)
        variance = n * (2 * rest + delta * (1 - delta))
        excess = lost - won - n * delta
        return excess / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, excess)

    low = -1.0 if value == -1 else _bisect(lambda delta: score(delta) - z, -1.0, value)
    high = 1.0 if value == 1 else _bisect(lambda delta: score(delta) + z, value, 1.0)
    return Interval(value, low, high)


def mcnemar(better: int, worse: int) -> float:
    """Exact two-sided McNemar p: that of flips this uneven, or more so, if either way were equally likely."""
    n, k = better + worse, min(better, worse)
    if k < 0:
        raise ValueError(f"flips cannot be negative; got {better} and {worse}")
    if 2 * k == n:
        return 1.0
    # The binomial tail from its largest term down; each term is the last one times k / (n - k + 1).
    term = total = 1.0
    for i in range(k, 0, -1):
        term *= i / (n - i + 1)
        total += term
        if term < total * 1e-17:
            break
    log_largest = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2)
    return min(1.0, math.exp(log_largest + math.log(2 * total)))


def non_inferior(drop: PairedDifference | Interval, margin: float) -> bool | None:
    """True: the drop is at most ``margin``. False: it is more. None: the interval holds both possibilities."""
    if drop.high <= margin:
        return True
    return False if drop.low > margin else None


def _right(predicted: np.ndarray, labels: np.ndarray) -> np.ndarray:
    predicted, labels = np.asarray(predicted), np.asarray(labels)
    if predicted.shape != labels.shape:
        raise ValueError(
            f"there are {labels.shape} labels and {predicted.shape} predictions; both are one class a sample"
        )
    return predicted == labels


def _times(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or values.size < MIN_ROUNDS:
        raise ValueError(f"an interval needs at least {MIN_ROUNDS} rounds; got an array of shape {values.shape}")
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise ValueError("times must be finite and above 0 seconds")
    return values


def _interval(values: np.ndarray, placements: np.ndarray | None, level: float, resamples: int, seed: int) -> Interval:
    groups = [] if placements is None else [np.median(values[placements == p]) for p in np.unique(placements)]
    if len(groups) < MIN_PLACEMENTS:
        return _bootstrap_median(values, level, resamples, seed)
    return _signed_rank(np.array(groups), level)


def _signed_rank(values: np.ndarray, level: float) -> Interval:
    """Hodges and Lehmann's estimate with Wilcoxon's interval, which holds at least ``level``."""
    n = values.size
    means = np.sort([(values[i] + values[j]) / 2 for i in range(n) for j in range(i, n)])
    # ways[t]: sign patterns whose positive ranks sum to t, of 2**n
    ways = np.zeros(n * (n + 1) // 2 + 1)
    ways[0] = 1
    for rank in range(1, n + 1):
        ways[rank:] += ways[:-rank].copy()
    cut = int(np.searchsorted(np.cumsum(ways) / 2**n, (1 - level) / 2, side="right"))
    if cut == 0:
        raise ValueError(f"{n} values give no {level:.0%} interval")
    return Interval(float(np.median(means)), float(means[cut - 1]), float(means[-cut]))


def _bootstrap_median(values: np.ndarray, level: float, resamples: int, seed: int) -> Interval:
    index = np.random.default_rng(seed).integers(values.size, size=(resamples, values.size))
    return widened(float(np.median(values)), np.median(values[index], axis=1), values, level=level)


def widened(value: float, resampled: np.ndarray, course: np.ndarray, *, level: float = LEVEL) -> Interval:
    """The interval of ``value`` from a bootstrap over rounds: steps 3 and 4 above.

    ``resampled``: the estimate of every resample. ``course`` (rounds,): a quantity that shows how rounds resemble
    their neighbours.
    """
    rounds = course.size
    tail = NormalDist().cdf(-math.sqrt(rounds / (rounds - 1)) * student(rounds - 1, level))
    # The order statistics outside the tail: interpolating inwards would make the interval narrower than the tail says.
    low = float(np.quantile(resampled, tail, method="lower"))
    high = float(np.quantile(resampled, 1 - tail, method="higher"))
    r = min(0.9, max(0.0, _autocorrelation(course) + 1 / math.sqrt(rounds)))
    stretch = math.sqrt((1 + r) / (1 - r))
    return Interval(value, value - stretch * max(0.0, value - low), value + stretch * max(0.0, high - value))


def _autocorrelation(values: np.ndarray) -> float:
    """From one value to the next, of their ranks; 0 where all are equal."""
    _, tied, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - counts / 2)[tied]
    ranks = ranks - ranks.mean()
    power = float(ranks @ ranks)
    return float(ranks[1:] @ ranks[:-1]) / power if power else 0.0


def _exp(interval: Interval) -> Interval:
    return Interval(math.exp(interval.value), math.exp(interval.low), math.exp(interval.high))


def _z(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)


def student(freedom: int, level: float) -> float:
    """Two-sided Student quantile, by Hill's asymptotic expansion in 1/freedom (Abramowitz & Stegun 26.7.5)."""
    z = _z(level)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / freedom ** (i + 1) for i, term in enumerate(terms))


def _bisect(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function crosses zero between ``low`` and ``high``, to 1e-12."""
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) > 0 else (low, middle)
    return (low + high) / 2
