"""A model that runs on end: how its latency goes over minutes, and when the machine begins to hold it back.

Calls follow each other without a pause, cut into windows of about a second; between two windows the machine's state is
read. Throttling began in the first window after which one of these holds, in this order:

1. **Said**: the machine says that it is throttled now, and did not before; or its count of throttle events has grown.
2. **Frequency**: from that window on, ten windows long, the frequency is below 90 % of the median of the first ten.
3. **Latency**: from that window on, ten windows long, the median latency is more than 5 % above the reference, and more
   than five deviations of the reference (1.4826 times the median absolute deviation). The reference is the first ten
   windows. Where other programs took a tenth of the processor more than in the reference, latency decides nothing.

A spell that ends within ten windows is not throttling by 2 and 3. Nothing is said of a run shorter than 30 windows,
unless the machine says it itself.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

WINDOW_SECONDS = 1.0
REFERENCE = 10
"""Windows at the beginning that the others are compared with."""
PERSISTENT = 10
"""Windows that a change lasts, at least."""
LEAST_WINDOWS = 30
SLOWER = 1.05
DEVIATIONS = 5.0
LOWER = 0.9
OTHERS = 0.1


@dataclass(frozen=True)
class Window:
    """``second``: when it ended, since the run began; ``p50`` and ``p99`` in seconds, of ``n`` calls; ``conditions``
    right after it."""

    second: float
    p50: float
    p99: float
    n: int
    conditions: dict[str, Any]


def run(
    call: Callable[[], object],
    seconds: float,
    look: Callable[[], dict[str, Any]],
    on_window: Callable[[Window], object],
    *,
    window_seconds: float = WINDOW_SECONDS,
) -> tuple[float | None, str]:
    """Call for ``seconds``; each window is told as it ends. The second at which throttling began, or None, and why."""
    call()
    at_start = look()
    windows: list[Window] = []
    begin = time.perf_counter()
    while (now := time.perf_counter()) - begin < seconds:
        times = _window(call, min(now + window_seconds, begin + seconds))
        values = np.frombuffer(times)
        p50, p99 = np.quantile(values, (0.5, 0.99))
        window = Window(time.perf_counter() - begin, float(p50), float(p99), len(values), look())
        windows.append(window)
        on_window(window)
    return throttling(windows, at_start)


def throttling(windows: Sequence[Window], at_start: dict[str, Any]) -> tuple[float | None, str]:
    """When throttling began, in seconds, and by which sign; or None, and why nothing is said."""
    for window in windows:
        if window.conditions.get("throttled") and not at_start.get("throttled"):
            return window.second, "the machine says that it is throttled"
        counts = [seen.get("throttle_count") for seen in (at_start, window.conditions)]
        if None not in counts and counts[1] > counts[0]:
            return window.second, "the machine has counted a throttle event"
    already = "; it was throttled before the run began" if at_start.get("throttled") else ""
    if len(windows) < LEAST_WINDOWS:
        return None, f"no sign of it, in {len(windows)} windows; latency is judged from {LEAST_WINDOWS} on{already}"
    reference = windows[:REFERENCE]
    if found := _slower_clock(windows, reference):
        return found
    return _slower_calls(windows, reference) or (None, f"no sign of it in {windows[-1].second:.0f} s{already}")


def _slower_clock(windows: Sequence[Window], reference: Sequence[Window]) -> tuple[float, str] | None:
    known = [window.conditions.get("frequency") for window in windows]
    if None in known:
        return None
    usual = float(np.median(known[: len(reference)]))
    at = _persistent([value < LOWER * usual for value in known])
    if at is None:
        return None
    lower = float(np.median(known[at : at + PERSISTENT]))
    return windows[at].second, f"the frequency fell from {usual / 1e9:.2f} to {lower / 1e9:.2f} GHz"


def _slower_calls(windows: Sequence[Window], reference: Sequence[Window]) -> tuple[float | None, str] | None:
    first = np.array([window.p50 for window in reference])
    usual = float(np.median(first))
    deviation = 1.4826 * float(np.median(np.abs(first - usual)))
    limit = max(SLOWER * usual, usual + DEVIATIONS * deviation)
    at = _persistent([window.p50 > limit for window in windows])
    if at is None:
        return None
    slow = windows[at : at + PERSISTENT]
    slower = float(np.median([window.p50 for window in slow])) / usual - 1
    words = f"latency rose by {slower:.0%} at {windows[at].second:.0f} s"
    before, since = (_others(part) for part in (reference, slow))
    if before is not None and since is not None and since > before + OTHERS:
        return None, f"{words}, while other programs took {since:.0%} of the processor: that is not called throttling"
    return windows[at].second, f"{words}, and stayed there; the machine says nothing"


def _others(windows: Sequence[Window]) -> float | None:
    known = [share for window in windows if (share := window.conditions.get("others")) is not None]
    return float(np.median(known)) if known else None


def _persistent(low: Sequence[bool]) -> int | None:
    """Where the first run of so many begins."""
    length = 0
    for index, is_low in enumerate(low):
        length = length + 1 if is_low else 0
        if length == PERSISTENT:
            return index - PERSISTENT + 1
    return None


def _window(call: Callable[[], object], end: float) -> array[float]:
    clock = time.perf_counter
    times = array("d")
    after = clock()
    while True:
        before = after
        call()
        after = clock()
        times.append(after - before)
        if after >= end:
            return times
