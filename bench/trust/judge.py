"""From outcomes to what is said of them: rates with Wilson's interval, ratios with the signed-rank interval.

**False alarm.** Ours: the product's own word is *faster* or *slower*, for which the whole 95 % interval of the ratio
must lie beyond 1.02 or below 1/1.02. Of other tools, which give two numbers and no interval: their ratio is beyond 1.02
either way, since nothing tells their user that this is noise.

**A slowdown seen.** The same criterion, one-sided. Ours: it says *slower*. Of other tools: the second number is more
than 1.02 times the first.

**Agreement.** The interval of ours / theirs over trials holds 1. What only ours times is taken away first, and its
uncertainty added.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from compress.bench import stats
from compress.bench.figures import WORTHWHILE, Interval
from compress.bench.trust.outcomes import Outcome


@dataclass(frozen=True)
class Rate:
    """How often, of how many."""

    hits: int
    n: int

    @property
    def value(self) -> float:
        return self.hits / self.n

    def words(self) -> str:
        interval = stats.wilson(self.hits, self.n)
        return f"{self.hits} of {self.n} = {self.value:.0%} [{interval.low:.1%}, {interval.high:.1%}]"


def rate(outcomes: Sequence[Outcome], judged: Sequence[bool]) -> Rate:
    return Rate(sum(judged), len(outcomes))


def alarms(outcomes: Sequence[Outcome]) -> Rate:
    """Of a file against itself."""
    return rate(outcomes, [_alarm(one) for one in outcomes])


def seen(outcomes: Sequence[Outcome]) -> Rate:
    """Of a second file that is slower."""
    return rate(outcomes, [_seen(one) for one in outcomes])


def excludes_one(outcomes: Sequence[Outcome]) -> Rate:
    """How often the interval lies wholly to one side of 1."""
    return rate(outcomes, [not one.ratio[1] <= 1 <= one.ratio[2] for one in outcomes])


def paired(outcomes: Sequence[Outcome]) -> Interval | None:
    """First figure by second, over trials; None for fewer than six."""
    if len(outcomes) < stats.MIN_PLACEMENTS:
        return None
    first, second = (np.array([one.figures[index] for one in outcomes]) for index in (0, 1))
    return stats.ratio_interval(first, second, np.arange(len(outcomes)))


def without(ratio: Interval, part: Interval) -> Interval:
    """``ratio`` / ``part``, which were measured apart: on a logarithmic scale their errors add up as squares."""
    value = ratio.value / part.value
    down = math.hypot(math.log(ratio.value / ratio.low), math.log(part.high / part.value))
    up = math.hypot(math.log(ratio.high / ratio.value), math.log(part.value / part.low))
    return Interval(value, value * math.exp(-down), value * math.exp(up))


def spread(outcomes: Sequence[Outcome]) -> tuple[int, float, float, float]:
    """Of a file timed again and again: how many figures, their median, their standard deviation as a fraction of it,
    and the largest by the least."""
    figures = np.array([figure for one in outcomes for figure in one.figures])
    middle = float(np.median(figures))
    return figures.size, middle, float(figures.std(ddof=1)) / middle, float(figures.max() / figures.min())


def _alarm(one: Outcome) -> bool:
    if one.ratio is not None:
        return one.said in ("faster", "slower")
    ratio = one.figures[1] / one.figures[0]
    return not 1 / WORTHWHILE <= ratio <= WORTHWHILE


def _seen(one: Outcome) -> bool:
    return one.said == "slower" if one.ratio is not None else one.figures[1] / one.figures[0] > WORTHWHILE
