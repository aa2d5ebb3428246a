"""How long a call takes, and how that compares: variants are timed in turns, so that drift hits all of them alike.

A machine's speed wanders by more than the differences worth knowing: other tenants, heat, frequency. So the variants
are not timed one after the other. Time is cut into rounds; in every round each variant runs once, as a block of calls,
in an order drawn anew. A round's blocks lie close in time, so the ratio of their medians says what the variants differ
in, and the spread of that ratio over rounds says how well it is known.

1. Warm up every variant until its times are stationary (``stationary``), and see how many calls make a block.
2. In a round, for every variant in random order: one call that is not timed, since the one before had the caches; then
   the block, each call timed.
3. Stop after ``rounds``, or when another round would not end within ``seconds``, or, with ``precision``, when all
   intervals are narrow enough (``stopping``).

Where a model comes to lie in memory makes it a few tenths of a percent faster or slower, for as long as it is open: two
sessions of one file differ by that much in every round. With ``reopen`` the variants are therefore opened anew several
times on the way (``openings``), in random order, and ``placement`` says which rounds ran on which opening.

The garbage collector is off throughout. A block's number of calls is fixed before anything is timed: were it to depend
on the block's own times, slow moments would weigh differently from fast ones.
"""

from __future__ import annotations

import gc
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edge_runtime.errors import ProbeError
from edge_runtime.probes.openings import Call, Openings, Reopen
from edge_runtime.probes.stationary import LEAST_BLOCKS, WarmUp, warm_up
from edge_runtime.probes.stopping import Stopping

LEAST_CALLS = 3
"""Calls in a block, at least."""

LEAST_ROUNDS = 6
"""Rounds that are run however long they take: fewer can all err to one side by chance, and give no 95 % interval."""

FIRST_BLOCKS = 15
"""Blocks of the first warm-up at least, if there is time: the machine is warmed up too, not only the variant."""

MOST_BLOCKS_AGAIN = 4 * LEAST_BLOCKS
"""Blocks of a later warm-up at most."""

WARM_UP_SHARE = 0.25
"""Of the whole time, which the first warm-up of all variants together may take."""

Samples = Mapping[str, np.ndarray]


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
    reopen: Reopen | None = None,
    on_round: Callable[[int, int], object] | None = None,
    precision: float | None = None,
    on_samples: Callable[[int, Samples], object] | None = None,
) -> LatencySamples:
    """Time the calls in ``runs`` in turns.

    ``seconds`` bounds the whole, warm-up included, but never to fewer than six rounds. ``seed`` draws the orders.
    ``reopen`` opens the variants in the order given and returns their calls; ``runs`` are then only their names. Its
    time does not count, unless it would take more than ``seconds`` in all: then the variants are opened once.
    ``precision``: end as soon as every 95 % interval is that narrow, as a fraction (0: run out the time); variants are
    then opened more often, and only the first opening does not count. ``on_round(done, rounds)`` is called between
    rounds, and ``on_samples(placement, calls)`` with what the round has given.
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
    medians: dict[str, list[float]] = {name: [] for name in names}
    placement: list[int] = []
    openings = Openings(names, reopen, draw, frequent=precision is not None)
    begin = time.perf_counter()
    with _no_garbage_collection():
        current = dict(runs) if reopen is None else openings.open()
        most = WARM_UP_SHARE * seconds / len(names)
        first = {name: _warm_up(current[name], block_seconds, most, FIRST_BLOCKS) for name in names}
        counts = {name: _count(first[name], block_seconds) for name in names}
        openings.schedule(seconds, *_costs(first, counts, block_seconds))
        stopping = Stopping(names, precision or 0.0, several_openings=openings.several)
        warm = done = time.perf_counter()
        ended_by, unsteady, short = "rounds", 0, 0
        for index in range(rounds):
            used = done - begin - (openings.seconds if precision is None else openings.first_seconds)
            next_end = used + (done - warm) / max(index, 1)
            if index >= LEAST_ROUNDS and next_end > seconds:
                ended_by = "seconds"
                break
            if openings.due(max(index / rounds, used / seconds)):
                current = openings.again()
                for name in names:
                    again = MOST_BLOCKS_AGAIN * max(block_seconds, first[name].call_seconds)
                    warm_again = _warm_up(current[name], block_seconds, min(most, again), LEAST_BLOCKS)
                    unsteady += warm_again.stationary is False
                    short += warm_again.stationary is None
            samples = {name: _block(current[name], counts[name]) for name in draw.sample(names, len(names))}
            openings.round_done()
            placement.append(openings.number)
            for name in names:
                calls[name].append(samples[name])
                medians[name].append(float(np.median(samples[name])))
            if on_samples:
                on_samples(openings.number, samples)
            if on_round:
                on_round(index + 1, rounds)
            done = time.perf_counter()
            if stopping.reached(medians, placement):
                ended_by = "precision"
                break
    method = {
        "protocol": "interleaved blocks in an order drawn anew every round; first call of a block discarded",
        "variants": names,
        "rounds": len(placement),
        "rounds_asked": rounds,
        "ended_by": ended_by,
        "precision_asked": precision,
        "half_width": stopping.half_width,
        "placements": openings.number + 1,
        "seconds": done - begin,
        "seconds_asked": seconds,
        "block_seconds": block_seconds,
        "calls_per_block": counts,
        "warm_up": {name: asdict(first[name]) for name in names},
        "warm_up_seconds": warm - begin,
        "warm_ups_again": openings.number * len(names),
        "warm_ups_again_not_stationary": unsteady,
        "warm_ups_again_too_short": short,
        "opening_seconds": openings.seconds,
        "clock": "time.perf_counter_ns",
        "garbage_collector": "off",
        "seed": seed,
    }
    return LatencySamples(calls, np.array(placement), method)


def _warm_up(call: Call, block_seconds: float, most_seconds: float, least_blocks: int) -> WarmUp:
    return warm_up(call, block_seconds, clock=time.perf_counter, most_seconds=most_seconds, least_blocks=least_blocks)


def _count(warm: WarmUp, block_seconds: float) -> int:
    """How many calls last about ``block_seconds``."""
    return max(LEAST_CALLS, math.ceil(block_seconds / max(warm.call_seconds, 1e-7)))


def _costs(first: Mapping[str, WarmUp], counts: Mapping[str, int], block_seconds: float) -> tuple[float, float]:
    """Seconds that warming all up anew takes, and a round."""
    warming = sum(LEAST_BLOCKS * max(block_seconds, warm.call_seconds) for warm in first.values())
    return warming, sum((counts[name] + 1) * warm.call_seconds for name, warm in first.items())


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
