"""How long a call takes, and how that compares: variants are timed in turns, so that drift hits all of them alike.

A machine's speed wanders by more than the differences worth knowing: other tenants, heat, frequency. So the variants
are not timed one after the other. Time is cut into rounds; in every round each variant runs once, as a block of calls,
in an order drawn anew. A round's blocks lie close in time, so the ratio of their medians says what the variants differ
in, and the spread of that ratio over rounds says how well it is known.

1. Warm up every variant, and see from that how many calls make a block.
2. In a round, for every variant in random order: one call that is not timed, since the one before had the caches; then
   the block, each call timed.
3. Stop after ``rounds``, or when another round would not end within ``seconds``.

Where a model comes to lie in memory makes it a few tenths of a percent faster or slower, for as long as it is open: two
sessions of one file differ by that much in every round. With ``reopen`` the variants are therefore opened anew several
times on the way, in random order, and ``placement`` says which rounds ran on which opening.

The garbage collector is off throughout. A block's number of calls is fixed before anything is timed: were it to depend
on the block's own times, slow moments would weigh differently from fast ones.
"""

from __future__ import annotations

import gc
import math
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_runtime.errors import ProbeError

LEAST_CALLS = 3
"""Calls in a block, and in a warm-up, at least."""

LEAST_ROUNDS = 6
"""Rounds that are run however long they take: fewer can all err to one side by chance, and give no 95 % interval."""

WARM_UP_BLOCKS = 3
"""A variant is warmed up for as long as this many blocks."""

PLACEMENTS = 8
"""How often variants are opened, where that can be done."""

LEAST_PLACEMENTS = 6
"""Fewer openings give no 95 % interval of how they differ; then there is only one."""

Call = Callable[[], object]


@dataclass(frozen=True)
class LatencySamples:
    """``calls[name]`` holds, for every round, the seconds of each timed call; ``placement`` (rounds,): on which opening
    of the variants the round ran; ``method`` states how they were taken."""

    calls: dict[str, list[np.ndarray]]
    placement: np.ndarray
    method: dict[str, Any]

    def block_medians(self, name: str) -> np.ndarray:
        """(rounds,) seconds. The same index is the same round for every variant: compare pairwise."""
        return np.array([np.median(block) for block in self.calls[name]])


def interleave(
    runs: dict[str, Call] | tuple[str, ...],
    *,
    rounds: int,
    seconds: float,
    block_seconds: float = 0.02,
    seed: int = 0,
    reopen: Callable[[list[str]], dict[str, Call]] | None = None,
    on_round: Callable[[int, int], object] | None = None,
) -> LatencySamples:
    """Time the calls in ``runs`` in turns.

    ``seconds`` bounds the whole, warm-up included, but never to fewer than six rounds. ``seed`` draws the orders.
    ``reopen`` opens the variants in the order given and returns their calls; ``runs`` are then only their names. Its
    time does not count, unless it would take more than ``seconds`` in all: then the variants are opened once.
    ``on_round(done, rounds)`` is called between rounds.
    Raises ProbeError when there is nothing to run; whatever a call raises passes through.
    """
    if not runs or rounds < 1 or seconds <= 0 or block_seconds <= 0:
        raise ProbeError(
            f"interleave needs at least one variant, one round and a positive time; got {len(runs)} variants, "
            f"{rounds} rounds, {seconds} s, blocks of {block_seconds} s"
        )
    draw = random.Random(seed)
    names = list(runs)
    calls: dict[str, list[np.ndarray]] = {name: [] for name in names}
    placement: list[int] = []
    opening = _Opening(runs, reopen, draw, seconds)
    begin = time.perf_counter()
    with _no_garbage_collection():
        current = opening.first()
        counts = {name: _warm_up(current[name], block_seconds) for name in names}
        warm = done = time.perf_counter()
        for index in range(rounds):
            used = done - begin - opening.seconds
            next_end = used + (done - warm) / max(index, 1)
            if index >= LEAST_ROUNDS and next_end > seconds:
                break
            if opening.due(max(index / rounds, used / seconds)):
                current = opening.again()
                for name in names:
                    _warm_up(current[name], block_seconds)
            for name in draw.sample(names, len(names)):
                calls[name].append(_block(current[name], counts[name]))
            placement.append(opening.number)
            if on_round:
                on_round(index + 1, rounds)
            done = time.perf_counter()
    ran = len(placement)
    method = {
        "protocol": "interleaved blocks in an order drawn anew every round; first call of a block discarded",
        "variants": names,
        "rounds": ran,
        "rounds_asked": rounds,
        "ended_by": "rounds" if ran == rounds else "seconds",
        "placements": opening.number + 1,
        "seconds": done - begin,
        "seconds_asked": seconds,
        "block_seconds": block_seconds,
        "calls_per_block": counts,
        "warm_up_seconds": warm - begin,
        "clock": "time.perf_counter_ns",
        "garbage_collector": "off",
        "seed": seed,
    }
    return LatencySamples(calls, np.array(placement), method)


class _Opening:
    """When to open the variants anew, and what that has taken."""

    def __init__(
        self,
        runs: dict[str, Call] | tuple[str, ...],
        reopen: Callable[[list[str]], dict[str, Call]] | None,
        draw: random.Random,
        limit: float,
    ) -> None:
        self._runs, self._reopen, self._draw, self._limit = runs, reopen, draw, limit
        self._planned = 1
        self.number = 0
        self.seconds = 0.0

    def first(self) -> dict[str, Call]:
        if self._reopen is None:
            return dict(self._runs)
        opened = self._open()
        affordable = int(self._limit / max(self.seconds, 1e-9))
        self._planned = min(PLACEMENTS, affordable) if affordable >= LEAST_PLACEMENTS else 1
        return opened

    def due(self, progress: float) -> bool:
        """``progress``: how much of the measurement is over, 0 to 1."""
        return self.number + 1 < self._planned and int(progress * self._planned) > self.number

    def again(self) -> dict[str, Call]:
        self.number += 1
        return self._open()

    def _open(self) -> dict[str, Call]:
        names = list(self._runs)
        started = time.perf_counter()
        opened = self._reopen(self._draw.sample(names, len(names)))
        self.seconds += time.perf_counter() - started
        return opened


def _warm_up(call: Call, block_seconds: float) -> int:
    """Run until warm; return how many calls last about ``block_seconds``."""
    times: list[float] = []
    end = time.perf_counter() + WARM_UP_BLOCKS * block_seconds
    while len(times) < LEAST_CALLS or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    typical = float(np.median(times[len(times) // 2 :]))
    return max(LEAST_CALLS, math.ceil(block_seconds / max(typical, 1e-7)))


def _block(call: Call, count: int) -> np.ndarray:
    """One call untimed, then ``count`` timed ones: (count,) seconds."""
    clock = time.perf_counter_ns
    nanoseconds = [0] * count
    call()
    for index in range(count):
        start = clock()
        call()
        nanoseconds[index] = clock() - start
    return np.array(nanoseconds) * 1e-9


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
