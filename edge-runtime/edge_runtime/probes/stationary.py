"""Warming up: a call is repeated until its times no longer change, not for a count that somebody once found enough.

Times are cut into blocks, and every block has its median. Of these the later half is looked at, six at least:

1. There is no trend: Kendall's S of the medians against their order is within 1.96 of its standard deviations.
2. Its end agrees with its beginning: the medians of the first and the last third differ by no more than 2 %, or three
   standard errors of such a difference where the machine is noisier than that (from the median step between blocks).

If both hold, the call is *stationary*. A model whose first calls allocate or compile passes after some blocks; on a
noisy machine the second limit widens, so noise alone does not keep a warm-up going. A drift so slow that it does not
show within the blocks looked at passes: turns (``latency``) take care of that. It ends after ``most_seconds`` in any
case. What it then says is said to people, so more is asked for: *not stationary* takes a trend that is significant at
the 1 % level or a shift as above, in six blocks at least. Fewer blocks, or a weaker trend, are *too short to tell*: a
steady call fails the first rule in 1 of 20 looks, and a slow one gets no second look.

Kendall (1938), *A New Measure of Rank Correlation*; for independent values S has variance n (n-1) (2n+5) / 18.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

LEAST_BLOCKS = 6
"""Medians that are looked at, and blocks that are run, at least."""

LEAST_CALLS = 3
"""Calls of a warm-up, however long they take."""

TREND = 1.96
"""Standard deviations of Kendall's S beyond which there is a trend."""

CLEAR_TREND = 2.58
"""The same where it is said that there is one."""

TOLERANCE = 0.02
"""Difference of end and beginning that is none, as a fraction."""

ERRORS = 3.0
"""Standard errors that a difference may have where the machine is noisy."""

MEDIAN = 1.25
"""Standard error of a median by that of a mean, of normal values."""

Clock = Callable[[], float]


@dataclass(frozen=True)
class WarmUp:
    """What it took. ``stationary``: None where it was too short to tell. ``call_seconds``: a typical call at its
    end."""

    blocks: int
    seconds: float
    stationary: bool | None
    call_seconds: float


def warm_up(
    call: Callable[[], object],
    block_seconds: float,
    *,
    clock: Clock,
    most_seconds: float,
    least_blocks: int = LEAST_BLOCKS,
) -> WarmUp:
    """Repeat ``call`` until it is stationary or ``most_seconds`` are over; at least three calls and, if there is time
    for them, ``least_blocks`` blocks. A block lasts ``block_seconds``, or one call if that takes longer."""
    begin = clock()
    medians: list[float] = []
    calls = 0
    steady = False
    while True:
        times = _block(call, block_seconds, clock)
        calls += len(times)
        medians.append(float(np.median(times)))
        seconds = clock() - begin
        if len(medians) >= least_blocks:
            steady = is_stationary(medians)
        if calls >= LEAST_CALLS and (steady or seconds >= most_seconds):
            typical = float(np.median(medians[len(medians) // 2 :]))
            return WarmUp(len(medians), seconds, steady or _at_its_end(medians), typical)


def _at_its_end(medians: Sequence[float]) -> bool | None:
    """What may be said of a warm-up whose time is over."""
    if is_stationary(medians):
        return True
    short = len(medians) < LEAST_BLOCKS or is_stationary(medians, trend=CLEAR_TREND)
    return None if short else False


def is_stationary(medians: Sequence[float], *, trend: float = TREND) -> bool:
    """Whether the later half of block medians shows neither trend nor shift; False for fewer than six.

    ``trend``: standard deviations of Kendall's S that are none."""
    if len(medians) < LEAST_BLOCKS:
        return False
    seen = np.asarray(medians[-max(LEAST_BLOCKS, len(medians) // 2) :], dtype=np.float64)
    n = len(seen)
    later, earlier = np.triu_indices(n, 1)[::-1]
    kendall = float(np.sign(seen[later] - seen[earlier]).sum())
    if abs(kendall) > trend * math.sqrt(n * (n - 1) * (2 * n + 5) / 18):
        return False
    third = n // 3
    first, last = np.median(seen[:third]), np.median(seen[-third:])
    # Noise is taken from one block to the next, where neither a trend nor a shift shows.
    deviation = 1.4826 * float(np.median(np.abs(np.diff(seen)))) / math.sqrt(2)
    allowed = max(TOLERANCE * float(first), ERRORS * MEDIAN * deviation * math.sqrt(2 / third))
    return bool(abs(last - first) <= allowed)


def _block(call: Callable[[], object], seconds: float, clock: Clock) -> list[float]:
    times: list[float] = []
    before = clock()
    end = before + seconds
    while not times or before < end:
        call()
        after = clock()
        times.append(after - before)
        before = after
    return times
