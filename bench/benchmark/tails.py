"""How slow the slow calls are: high percentiles with intervals, and whether there are enough calls to say.

**Enough.** A percentile is given from as many calls on as MLPerf's early stopping asks for: were the true share of
slower calls as large as the percentile says, then seeing at most one of them would have a probability below 1 %. That
makes 64 calls for the 90th, 662 for the 99th and 6636 for the 99.9th. (MLPerf Inference Rules, "Early Stopping".)

**Interval.** Slow calls come in bunches, so calls are not independent and the textbook interval of an order statistic
is too narrow. Rounds are resampled instead (:func:`compress.bench.stats.widened`); a resample's percentile is that of
all its rounds' calls together. What shows how rounds resemble their neighbours is their share of calls beyond it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np

from compress.bench.figures import Interval
from compress.bench.stats import MIN_ROUNDS, quantile, widened

RESAMPLES = 1000
CONFIDENCE = 0.99
GRID = 1000
"""Order statistics at which resamples are looked up."""
REACH = 10
"""So many times the share of calls beyond the percentile lie within that grid."""


@cache
def calls_needed(q: float) -> int:
    """The calls from which on the ``q`` quantile is given."""
    n = 2
    while q**n + n * (1 - q) * q ** (n - 1) > 1 - CONFIDENCE:
        n += 1
    return n


def tail(calls: Sequence[np.ndarray], q: float, *, seed: int = 0) -> Interval | None:
    """The ``q`` quantile of all ``calls``, an array of seconds for every round; None where there are too few of them.

    With fewer rounds than give a 95 % interval, the interval reaches from the fastest to the slowest call: unknown.
    """
    seconds = np.sort(np.concatenate(calls))
    if seconds.size < calls_needed(q):
        return None
    value = quantile(seconds, q)
    if len(calls) < MIN_ROUNDS:
        return Interval(value, float(seconds[0]), float(seconds[-1]))
    lowest = math.floor((1 - min(1.0, REACH * (1 - q))) * (seconds.size - 1))
    grid = seconds[np.unique(np.linspace(lowest, seconds.size - 1, GRID).astype(int))]
    beyond = np.array([np.searchsorted(np.sort(block), grid, side="right") for block in calls])
    sizes = np.array([block.size for block in calls])
    slower = (sizes[:, None] - beyond).astype(np.float64)
    weights = np.random.default_rng(seed).multinomial(len(calls), np.full(len(calls), 1 / len(calls)), RESAMPLES)
    share = (weights @ slower) / (weights @ sizes)[:, None]
    # Falling along the grid: the first place where no more than 1 - q of the resample's calls are slower.
    resampled = grid[np.argmax(share <= (1 - q) * (1 + 1e-12), axis=1)]
    own = np.array([np.mean(block > value) for block in calls])
    found = widened(value, resampled, own)
    return Interval(value, max(found.low, float(seconds[0])), found.high)
