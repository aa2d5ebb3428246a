"""Energy of two runs or benchmarks: gross joules of a sample, by the first sensor that both were measured with.

The least and the largest of n windows hold the median in 1 - 2^(1-n) of cases, 94 % for the five of the protocol: they
are taken as its 95 % interval. Another idle machine shows in net as much as another model does, so gross is compared;
only in states of the machine in which medians are. What was modelled follows from the times, and is not compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from compress.bench.diff.between import quotient
from compress.bench.diff.judge import Both, Change, less_one
from compress.bench.figures import Interval

WINDOWS = 5
"""Fewer of them hold the median too seldom."""


class Sensed(Protocol):
    """Of a run or of a benchmark: they have these fields in common."""

    sensor: str
    measured: bool
    gross: Interval | None
    windows: int


def energy(
    old: Sequence[Sensed],
    new: Sequence[Sensed],
    obstacle: str | None,
    tolerance: float,
    *,
    between: float,
    level: float,
) -> Change | None:
    """How energy changed; None where neither has a figure. ``obstacle``: why nothing can be compared."""
    before, after = ({e.sensor: e for e in found if e.measured and e.gross} for found in (old, new))
    if not before and not after:
        return None
    shared = [sensor for sensor in after if sensor in before]
    if not shared:
        one, other = (next(iter(found.values()), None) for found in (before, after))
        why = f"sensor {one.sensor}, then {other.sensor}" if one and other else f"only the {_which(one)} has it"
        return Change("energy", "not compared", one and one.gross.value, other and other.gross.value, why=why)
    first, then = before[shared[0]], after[shared[0]]
    both = Both("energy", first.gross.value, then.gross.value)
    if first == then and not obstacle:
        return both.same("the very same measurement")
    few = f"fewer than {WINDOWS} windows" if min(first.windows, then.windows) < WINDOWS else None
    if obstacle := obstacle or few:
        return both.apart(obstacle)
    more = quotient(then.gross, first.gross, level=level, between=between)
    return both.judged(less_one(more), tolerance, f"gross, by {shared[0]}")


def _which(old: Sensed | None) -> str:
    return "older" if old else "newer"
