"""When enough is known: sampling ends when the intervals are narrow enough, whatever they say.

Sampling until a difference is significant finds one where there is none. So the width alone decides (fixed-width
sequential estimation; Chow & Robbins 1965, *Annals of Mathematical Statistics* 36:457-462): a measurement ends when
every 95 % interval, of the ratio of each variant to the first, or of the one variant's own time, reaches no further
than ``precision`` from its estimate. It is looked at on a geometric schedule, after 24 rounds and then after a quarter
more each time, because an interval that is looked at after every round is now and then narrow by chance; and from eight
openings on, where variants are opened anew.

The interval is the one that the results are told with (``compress.bench.stats``): the values are logarithms of block
medians, or of their ratios round by round; each opening counts once, by the median of its rounds; Hodges and Lehmann's
estimate with Wilcoxon's signed-rank interval over openings, which supposes a symmetric distribution and no more. Where
there is one opening, ten runs of successive rounds stand in for openings: slow spells last several rounds, and rounds
would not be independent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

LEVEL = 0.95
LEAST_ROUNDS = 24
"""Rounds before the first look."""
LEAST_OPENINGS = 8
"""Openings before the first look, where there are several."""
RUNS = 10
"""Runs of successive rounds, where there is one opening."""
GROWTH = 1.25
"""Rounds at one look by those at the one before."""


class Stopping:
    """Looks at block medians as they come. ``half_width``: the widest interval's half at the last look, as a fraction;
    None before the first."""

    def __init__(self, names: Sequence[str], precision: float, *, several_openings: bool) -> None:
        self._names = list(names)
        self._precision = precision
        self._openings = LEAST_OPENINGS if several_openings else 1
        self._next = LEAST_ROUNDS
        self.half_width: float | None = None

    def reached(self, medians: Mapping[str, Sequence[float]], placement: Sequence[int]) -> bool:
        """Whether it is precise enough. ``medians[name]`` and ``placement`` have one value a round."""
        rounds = len(placement)
        if not self._precision or rounds < self._next or placement[-1] + 1 < self._openings:
            return False
        self._next = math.ceil(rounds * GROWTH)
        self.half_width = half_width([medians[name] for name in self._names], placement)
        return self.half_width <= self._precision


def half_width(medians: Sequence[Sequence[float]], placement: Sequence[int]) -> float:
    """How far the widest 95 % interval reaches from its estimate, as a fraction: of the ratios to the first of
    ``medians``, each (rounds,) seconds above 0, or of the first's own where it is alone. 10 rounds at least."""
    logs = np.log(np.maximum(np.asarray(medians, dtype=np.float64), 1e-12))
    values = logs[:1] if len(logs) == 1 else logs[1:] - logs[0]
    groups = _groups(np.asarray(placement))
    widest = 0.0
    for row in values:
        low, middle, high = signed_rank(np.array([np.median(row[group]) for group in groups]))
        widest = max(widest, high - middle, middle - low)
    return math.expm1(widest)


def signed_rank(values: np.ndarray) -> tuple[float, float, float]:
    """Low end, estimate and high end: Hodges and Lehmann's estimate with Wilcoxon's 95 % interval; 6 values at least.

    Hollander & Wolfe, *Nonparametric Statistical Methods*, sections 3.2 and 3.3.
    """
    rows, columns = np.triu_indices(len(values))
    means = np.sort((values[rows] + values[columns]) / 2)
    cut = _cut(len(values))
    return float(means[cut - 1]), float(np.median(means)), float(means[-cut])


@cache
def _cut(n: int) -> int:
    """How many of the pairwise means lie outside each end of the interval, plus one."""
    ways = np.zeros(n * (n + 1) // 2 + 1)  # ways[t]: sign patterns whose positive ranks sum to t, of 2**n
    ways[0] = 1
    for rank in range(1, n + 1):
        ways[rank:] += ways[:-rank].copy()
    cut = int(np.searchsorted(np.cumsum(ways) / 2.0**n, (1 - LEVEL) / 2, side="right"))
    if cut == 0:
        raise ValueError(f"{n} values give no {LEVEL:.0%} interval; 6 do")
    return cut


def _groups(placement: np.ndarray) -> list[np.ndarray]:
    """Which rounds belong together."""
    openings = np.unique(placement)
    if len(openings) >= LEAST_OPENINGS:
        return [np.flatnonzero(placement == opening) for opening in openings]
    return np.array_split(np.arange(len(placement)), RUNS)
