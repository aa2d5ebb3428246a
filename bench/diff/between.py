"""Intervals for what differs between two runs, made apart from each other.

Within a run everything is paired; between runs nothing is, except answers to the same test samples. What there is then
are two estimates with intervals, which :func:`difference` puts together by Zou and Donner's method of variance
estimates recovery (MOVER; 2008, *Statistics in Medicine* 27:1693-1702): of each interval the side that matters counts,
so that lopsided ones stay lopsided. Of two Wilson intervals this is Newcombe's hybrid score interval for two
proportions (1998, *Statistics in Medicine* 17:873-890, method 10); of two logarithms, that of a quotient.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from compress.bench.figures import Accuracy, Interval
from compress.bench.stats import LEVEL, student, wilson


def difference(one: Interval, other: Interval) -> Interval:
    """``one - other`` of two independent estimates, at the level that both intervals have."""
    value = one.value - other.value
    below = math.hypot(one.value - one.low, other.high - other.value)
    above = math.hypot(one.high - one.value, other.value - other.low)
    return Interval(value, value - below, value + above)


def quotient(one: Interval, other: Interval, *, level: float = LEVEL, between: float = 0.0) -> Interval:
    """``one / other`` of two independent positive estimates with 95 % intervals.

    Of each interval half the width on the logarithmic scale counts to both sides: over the few rounds or placements of
    a run, how lopsided it is is chance. For another ``level`` the widths are stretched as a normal distribution's would
    be. ``between``: standard deviation of the logarithms from run to run, which an interval made within a run cannot
    know; it is added to both.
    """
    found = difference(_log(one, level, between), _log(other, level, between))
    return Interval(math.exp(found.value), math.exp(found.low), math.exp(found.high))


def widest(interval: Interval) -> Interval:
    """The positive estimate with the longer side of its interval, on the logarithmic scale, to both.

    For what is lopsided by nature, such as a percentile of times: where no slow call came, the upper side is short, and
    half the width would promise that none ever comes. In simulations with one slow call of a hundred, two equal
    benchmarks differed so in 46 % of comparisons of p99 at 95 %, and in none by the longer side.
    """
    longer = max(interval.high / interval.value, interval.value / interval.low)
    return Interval(interval.value, interval.value / longer, interval.value * longer)


def of_few(least_to_largest: Interval, n: int, level: float) -> Interval:
    """The median of ``n`` positive values with the least and the largest, such that :func:`quotient` is right at
    ``level``: the two hold the median in 1 - 2^(1-n) of cases, and are widened from there by Student's t."""
    stretch = student(n - 1, level) / student(n - 1, 1 - 2.0 ** (1 - n)) * _z(LEVEL) / _z(level)
    value, half = least_to_largest.value, (least_to_largest.high / least_to_largest.low) ** (stretch / 2)
    return Interval(value, value / half, value * half)


def lost_unpaired(old: Accuracy, new: Accuracy, *, level: float = LEVEL) -> Interval:
    """Accuracy that ``new`` lost against ``old``, as if their samples had nothing to do with each other."""
    return difference(wilson(old.correct, old.n, level=level), wilson(new.correct, new.n, level=level))


def _log(interval: Interval, level: float, between: float) -> Interval:
    value, half = math.log(interval.value), (math.log(interval.high) - math.log(interval.low)) / 2
    width = math.hypot(_z(level) / _z(LEVEL) * half, _z(level) * between)
    return Interval(value, value - width, value + width)


def _z(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)
