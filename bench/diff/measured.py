"""One model in two benchmarks: which figures can be compared, how, and what may be said. Rules: see `benchmark`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from compress.bench.benchmark.results import Benchmark, Cell, ColdStart, Timing
from compress.bench.diff.between import of_few, quotient, widest
from compress.bench.diff.energies import energy
from compress.bench.diff.judge import Both, Change, Word, apart, less_one, word_for
from compress.bench.figures import Interval
from compress.bench.stats import MIN_ROUNDS

BUSY = 0.3
"""Share of the processor that others may use while times are still compared."""
STARTS = 5
"""The least and the largest of fewer cold starts hold their median too seldom."""
TAILS = {"p90": 0.90, "p99": 0.99}

Timed = tuple[Cell, Timing]


class Judge:
    """Compares what two benchmarks say of a model, with intervals of one level. ``elsewhere``: why nothing but sizes
    can be; ``between``: see :func:`~compress.bench.diff.between.quotient`."""

    def __init__(
        self,
        old: Benchmark,
        new: Benchmark,
        elsewhere: str | None,
        tolerances: Mapping[str, float],
        between: float,
        level: float,
    ) -> None:
        self._old, self._new, self._elsewhere = old, new, elsewhere
        self._tolerances, self._between, self._level = tolerances, between, level

    def times(self, old: Timed, new: Timed) -> tuple[Change, ...]:
        """Of one cell: speed, median, tails, throughput."""
        found = [self._speed(old, new), self._median(old, new), *self._tails(old, new), self._throughput(old, new)]
        return tuple(change for change in found if change)

    def files(self, name: str) -> tuple[Change, ...]:
        """Of the model itself: size, cold start, peak memory, energy."""
        found = [self._size(name), self._cold(name), self._memory(name), self._energy(name)]
        return tuple(change for change in found if change)

    def _speed(self, old: Timed, new: Timed) -> Change | None:
        ratios = [timing.ratio_to_first for _, timing in (old, new)]
        if ratios[0] and not ratios[1] and new[1].said != "first":
            return Change("speed", "not compared", ratios[0].value, None, why="too few rounds in the newer one")
        if None in ratios:
            return None  # it is what the others' speed is measured by, or there were too few rounds
        both = Both("speed", *(ratio.value for ratio in ratios))
        if obstacle := self._elsewhere or self._other_first(old[0], new[0]):
            return both.apart(obstacle)
        if _same(old[1], new[1]):
            return both.same("the very same measurement")
        slower = quotient(*ratios, level=self._level, between=self._between)
        return both.judged(less_one(slower), self._tolerances["latency"], "against each benchmark's own first model")

    def _median(self, old: Timed, new: Timed) -> Change:
        return self._absolute("median", old, new, [timing.p50 for _, timing in (old, new)])

    def _tails(self, old: Timed, new: Timed) -> Iterable[Change]:
        for name, q in TAILS.items():
            found = [getattr(timing, name) for _, timing in (old, new)]
            if None not in found:
                ends = [_own(tail, *of, q) for tail, of in zip(found, (old, new), strict=True)]
                yield self._absolute(name, old, new, ends, lopsided=True)
            elif found[0]:
                yield Change(name, "not compared", found[0].value, None, why="too few calls in the newer one")

    def _throughput(self, old: Timed, new: Timed) -> Change:
        return self._absolute("throughput", old, new, [timing.throughput for _, timing in (old, new)], lopsided=True)

    def _absolute(
        self, figure: str, old: Timed, new: Timed, found: Sequence[Interval], *, lopsided: bool = False
    ) -> Change:
        """A figure of one machine at two times; of a throughput how much more time a sample takes."""
        both = Both(figure, *(interval.value for interval in found))
        if _same(old[1], new[1]) and not self._elsewhere:
            return both.same("the very same measurement")
        few = "too few rounds for an interval" if min(timing.rounds for _, timing in (old, new)) < MIN_ROUNDS else None
        few = few or ("its interval is open below" if min(interval.low for interval in found) <= 0 else None)
        conditions = [cell.conditions for cell, _ in (old, new)]
        others = max(map(others_of, conditions))
        if obstacle := self._elsewhere or few or busy(others) or unlike(*conditions):
            return both.apart(obstacle)
        before, after = map(widest, found) if lopsided else found
        between = math.hypot(self._between, others)
        slower = (before, after) if figure == "throughput" else (after, before)
        why = "same machine" + (f"; others used up to {others:.0%} of it" if others > 0.01 else "")
        more = less_one(quotient(*slower, level=self._level, between=between))
        return both.judged(more, self._tolerances["latency"], why)

    def _size(self, name: str) -> Change | None:
        sizes = [next((m.size for m in b.models if m.name == name), None) for b in (self._old, self._new)]
        if not all(sizes):
            return None
        both = Both("size", *sizes)
        word = word_for(both.growth, both.growth, both.growth, self._tolerances["size"])
        return Change("size", word, both.old, both.new, both.growth, why="exact")

    def _cold(self, name: str) -> Change | None:
        starts = [next((c for c in b.cold if c.model == name), None) for b in (self._old, self._new)]
        if None in starts:
            return None  # one that the newer has not is `gone`
        both = Both("cold start", *(start.total.value for start in starts))
        if starts[0] == starts[1] and not self._elsewhere:
            return both.same("the very same measurement")
        if obstacle := self._obstacle(*({start.threads} for start in starts)) or _few_starts(starts):
            return both.apart(obstacle)
        totals = [of_few(start.total, start.n, self._level) for start in starts]
        slower = quotient(totals[1], totals[0], level=self._level, between=self._noise())
        return both.judged(less_one(slower), self._tolerances["latency"], "whole, the page cache warm")

    def _memory(self, name: str) -> Change | None:
        peaks = [next((m for m in b.memory if m.model == name), None) for b in (self._old, self._new)]
        if None in peaks:
            return None
        both = Both("memory", *(peak.interpreter + peak.peak for peak in peaks))
        loads = [(peak.threads, peak.batch) for peak in peaks]
        if obstacle := self._elsewhere or ("other threads or batch" if loads[0] != loads[1] else None):
            return both.apart(obstacle)
        noise = self._tolerances["memory"]
        word: Word = "worse" if both.growth > noise else "better" if both.growth < -noise else "within noise"
        return Change("memory", word, both.old, both.new, both.growth, why="one process each")

    def _energy(self, name: str) -> Change | None:
        found = [[e for e in b.energy if e.model == name] for b in (self._old, self._new)]
        obstacle = self._obstacle(*({(e.threads, e.batch) for e in of if e.measured} for of in found))
        return energy(*found, obstacle, self._tolerances["energy"], between=self._noise(), level=self._level)

    def _obstacle(self, old: set[Any], new: set[Any]) -> str | None:
        """Why what depends on the machine's state during the whole benchmark, and on threads and batch, is apart."""
        states = [_ends(b) for b in (self._old, self._new)]
        asked = "other threads or batch" if old != new else None
        return self._elsewhere or asked or busy(max(map(others_of, states))) or unlike(*states)

    def _noise(self) -> float:
        return math.hypot(self._between, max(others_of(_ends(b)) for b in (self._old, self._new)))

    def _other_first(self, old: Cell, new: Cell) -> str | None:
        firsts = [cell.timings[0].model for cell in (old, new)]
        if firsts[0] != firsts[1]:
            return f"the first model was {firsts[0]}, and is {firsts[1]}"
        sizes = [next((m.size for m in b.models if m.name == firsts[0]), None) for b in (self._old, self._new)]
        return None if sizes[0] == sizes[1] else "the first model is another file"


def unlike(old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    """Why the machine is known to have been in another state; None: as far as it is known, in a like one.

    Unlike are another governor, a frequency apart by more than 5 %, a temperature by more than 10 degrees, and any
    throttling.
    """
    if why := apart(*(run.get("before") or {} for run in (old, new))):
        return why
    states = [run.get(when) or {} for run in (old, new) for when in ("before", "worst", "after")]
    return "the processor was throttled" if any(state.get("throttled") for state in states) else None


def busy(others: float) -> str | None:
    return f"other programs used up to {others:.0%} of the processor" if others > BUSY else None


def others_of(conditions: Mapping[str, Any]) -> float:
    """The largest share of the processor that others used; 0 where it is not known."""
    states = [conditions.get(when) or {} for when in ("before", "worst", "after")]
    return max((state["others"] for state in states if state.get("others")), default=0.0)


def _own(tail: Interval, cell: Cell, timing: Timing, q: float) -> Interval:
    """A percentile whose lower end leaves out as large a share of the calls as others used of the processor: so many
    may have been slow for no fault of the model's."""
    asked, share = round(100 * q), math.ceil(100 * others_of(cell.conditions))
    course = timing.percentiles
    if len(course) != 101 or not math.isclose(course[asked], tail.value, rel_tol=1e-3):
        return tail
    return Interval(tail.value, min(tail.low, course[max(0, asked - share)]), tail.high)


def _few_starts(starts: list[ColdStart]) -> str | None:
    return f"fewer than {STARTS} cold starts" if min(start.n for start in starts) < STARTS else None


def _ends(benchmark: Benchmark) -> dict[str, Any]:
    """The machine's state at the beginning and the end, as a cell has it."""
    states = benchmark.conditions
    return {"before": states[0], "after": states[-1]} if states else {}


def _same(old: Timing, new: Timing) -> bool:
    figures = ("n", "mean", "p50", "p90", "p99", "throughput", "percentiles")
    return all(getattr(old, figure) == getattr(new, figure) for figure in figures)
