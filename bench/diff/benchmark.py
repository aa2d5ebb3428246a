"""What changed between two benchmarks beyond noise: `compress diff OLDER NEWER` of two folders of `compress bench`.

Measurements are matched by model and cell (scenario, threads, batch); models go by their names. Compared are

* *speed*: the ratio to the benchmark's first model, measured in turns with it. A state of the machine slows both down,
  so the quotient of two benchmarks' ratios is what the model itself gained or lost. Not compared where the first model
  is another one, or its file has another size.
* *median*: seconds of a call, on the same machine. Nothing interleaves two benchmarks, so their states must be alike as
  far as they are known: governor, frequency, temperature, throttling. Where other programs used a share of the
  processor in one of them, that share counts as noise between the two; above ``BUSY`` nothing can be said.
* *size* of the file, exact, and *memory*, the peak of one fresh process; its tolerance stands for its noise.

The words, the tolerances, the noise from run to run and the level of the intervals are those of
:mod:`compress.bench.diff.compare`. Figures of an emulator are compared with those of an emulator only.
"""

from __future__ import annotations

import fnmatch
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from compress.bench.benchmark.grids import cell_words
from compress.bench.benchmark.results import Benchmark, Cell, Timing
from compress.bench.between import quotient
from compress.bench.diff import facts
from compress.bench.diff.compare import RUN_TO_RUN, TOLERANCES, Judged
from compress.bench.diff.facts import Fact
from compress.bench.diff.judge import Both, Change, Word, apart, less_one, word_for
from compress.bench.stats import LEVEL

SCHEMA = "compress.benchmark-diff/1"
FIGURES = ("latency", "size", "memory")
FILES = "files and memory"
BUSY = 0.3
"""Share of the processor that others may use while medians are still compared."""
PLAN = ("axes", "query", "seed", "energy", "sustain")
"""What of two plans is told where it differs; the cells are matched one by one."""


@dataclass(frozen=True, slots=True)
class ModelPair:
    """A model of both benchmarks, in a cell or as a file (``cell`` empty)."""

    model: str
    target: str
    cell: str
    changes: tuple[Change, ...]

    @property
    def place(self) -> str:
        return f"{self.target}, {self.cell or FILES}"

    @property
    def called(self) -> str:
        return self.model


@dataclass(frozen=True, slots=True)
class BenchmarkDifference(Judged):
    """All that differs. ``level``: of each interval. ``only_old``, ``only_new``: measurements without a partner."""

    unit: ClassVar[str] = "measurement"
    heading: ClassVar[str] = "Model"
    method: ClassVar[str] = (
        "Speed: each benchmark's ratio to its own first model, and the share of time which that says was gained or "
        "lost. Medians are compared on one machine in a like state; what other programs used of it counts as noise."
    )

    old: dict[str, str]
    new: dict[str, str]
    tolerances: dict[str, float]
    run_to_run: float
    level: float
    pairs: tuple[ModelPair, ...]
    only_old: tuple[str, ...] = ()
    only_new: tuple[str, ...] = ()
    plan: list[Fact] = field(default_factory=list)
    versions: list[Fact] = field(default_factory=list)
    machine: list[Fact] = field(default_factory=list)

    @property
    def incomplete(self) -> bool:
        """Whether a figure of the older benchmark has nothing to be compared with."""
        return bool(self.only_old) or any(change.old is not None for _, change in self.having("not compared"))

    def explained(self) -> dict[str, list[Fact]]:
        """What differs besides the figures, by title."""
        return {"Plan": self.plan, "Versions": self.versions, "Machine": self.machine}


def compare(
    old: Benchmark,
    new: Benchmark,
    *,
    tolerances: Mapping[str, float] | None = None,
    run_to_run: float = RUN_TO_RUN,
    only: Sequence[str] = (),
) -> BenchmarkDifference:
    """``old`` against ``new``. The options as in :func:`compress.bench.diff.compare`; ``only``: patterns of
    ``MODEL/single-stream/t1/b1``."""
    allowed = {name: {**TOLERANCES, **(tolerances or {})}[name] for name in FIGURES}
    before, after = _timings(old, only), _timings(new, only)
    shared = [key for key in after if key in before]

    def pairs(level: float) -> tuple[ModelPair, ...]:
        judge = _Judge(old, new, allowed, run_to_run, level)
        timed = [
            ModelPair(key[0], new.target, cell_words(after[key][0]), judge.times(before[key], after[key]))
            for key in shared
        ]
        names = dict.fromkeys(key[0] for key in shared)
        filed = [ModelPair(name, new.target, "", judge.files(name)) for name in names]
        return tuple(sorted((pair for pair in [*timed, *filed] if pair.changes), key=lambda pair: not pair.cell))

    intervals = sum(change.low is not None for pair in pairs(LEVEL) for change in pair.changes)
    level = 1 - (1 - LEVEL) / max(1, intervals)
    return BenchmarkDifference(
        old={"name": old.target, "created": old.created},
        new={"name": new.target, "created": new.created},
        tolerances=allowed,
        run_to_run=run_to_run,
        level=level,
        pairs=pairs(level),
        only_old=tuple("/".join(key) for key in before if key not in after),
        only_new=tuple("/".join(key) for key in after if key not in before),
        plan=facts.changed(*({key: b.plan.get(key) for key in PLAN} for b in (old, new))),
        versions=facts.changed(_versions(old), _versions(new)),
        machine=_machine(old, new),
    )


def to_json(difference: BenchmarkDifference) -> str:
    """Indented JSON with the schema's name; `worse` and `incomplete` as the exit code takes them."""
    said = {"worse": difference.worse, "incomplete": difference.incomplete}
    return json.dumps({"schema": SCHEMA, **said, **asdict(difference)}, indent=1, allow_nan=False, ensure_ascii=False)


class _Judge:
    def __init__(
        self, old: Benchmark, new: Benchmark, tolerances: Mapping[str, float], between: float, level: float
    ) -> None:
        self._old, self._new, self._tolerances = old, new, tolerances
        self._between, self._level = between, level
        self._elsewhere = "another machine" if _machine(old, new) else None
        if old.emulated != new.emulated:
            self._elsewhere = "one of them is emulated"

    def times(self, old: tuple[Cell, Timing], new: tuple[Cell, Timing]) -> tuple[Change, ...]:
        return tuple(change for change in (self._speed(old, new), self._median(old, new)) if change)

    def files(self, name: str) -> tuple[Change, ...]:
        """Of size and peak memory."""
        sizes = [next((m.size for m in b.models if m.name == name), None) for b in (self._old, self._new)]
        peaks = [next((m for m in b.memory if m.model == name), None) for b in (self._old, self._new)]
        changes = []
        if None not in sizes and all(sizes):
            both = Both("size", *sizes)
            word = word_for(both.growth, both.growth, both.growth, self._tolerances["size"])
            changes.append(Change("size", word, both.old, both.new, both.growth, why="exact"))
        if None not in peaks:
            both = Both("memory", *(peak.interpreter + peak.peak for peak in peaks))
            loads = [(peak.threads, peak.batch) for peak in peaks]
            changes.append(
                self._memory(both, self._elsewhere or ("other threads or batch" if loads[0] != loads[1] else None))
            )
        return tuple(changes)

    def _memory(self, both: Both, obstacle: str | None) -> Change:
        if obstacle:
            return both.apart(obstacle)
        noise = self._tolerances["memory"]
        word: Word = "worse" if both.growth > noise else "better" if both.growth < -noise else "within noise"
        return Change("memory", word, both.old, both.new, both.growth, why="one process each")

    def _speed(self, old: tuple[Cell, Timing], new: tuple[Cell, Timing]) -> Change | None:
        ratios = [timing.ratio_to_first for _, timing in (old, new)]
        if None in ratios:
            return None  # it is what the others' speed is measured by, or there were too few rounds
        both = Both("speed", *(ratio.value for ratio in ratios))
        if obstacle := self._elsewhere or self._other_first(old[0], new[0]):
            return both.apart(obstacle)
        if _same(old[1], new[1]):
            return both.same("the very same measurement")
        slower = quotient(*ratios, level=self._level, between=self._between)
        return both.judged(less_one(slower), self._tolerances["latency"], "against each benchmark's own first model")

    def _median(self, old: tuple[Cell, Timing], new: tuple[Cell, Timing]) -> Change:
        medians = [timing.p50 for _, timing in (old, new)]
        both = Both("median", *(median.value for median in medians))
        if _same(old[1], new[1]) and not self._elsewhere:
            return both.same("the very same measurement")
        few = "too few rounds for an interval" if "too few rounds" in (old[1].said, new[1].said) else None
        others = max(_others(cell.conditions) for cell in (old[0], new[0]))
        busy = f"other programs used up to {others:.0%} of the processor" if others > BUSY else None
        if obstacle := self._elsewhere or few or busy or unlike(old[0].conditions, new[0].conditions):
            return both.apart(obstacle)
        between = math.hypot(self._between, others)
        slower = quotient(medians[1], medians[0], level=self._level, between=between)
        why = "same machine" + (f"; others used up to {others:.0%} of it" if others > 0.01 else "")
        return both.judged(less_one(slower), self._tolerances["latency"], why)

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


def _same(old: Timing, new: Timing) -> bool:
    return (old.n, old.mean, old.percentiles) == (new.n, new.mean, new.percentiles)


def _others(conditions: Mapping[str, Any]) -> float:
    """The largest share of the processor that others used; 0 where it is not known."""
    states = [conditions.get(when) or {} for when in ("before", "worst", "after")]
    return max((state["others"] for state in states if state.get("others")), default=0.0)


def _timings(benchmark: Benchmark, only: Sequence[str]) -> dict[tuple[str, str], tuple[Cell, Timing]]:
    """By model and cell. What was cut off in the middle counts: its interval says how little is known."""
    found = {(t.model, cell.id): (cell, t) for cell in benchmark.cells for t in cell.timings}
    return {key: of for key, of in found.items() if not only or _asked("/".join(key), only)}


def _asked(name: str, only: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in only)


def _machine(old: Benchmark, new: Benchmark) -> list[Fact]:
    found = [Fact(key, old.machine.get(key), new.machine.get(key)) for key in facts.MACHINE]
    return [fact for fact in found if fact.old != fact.new and not facts.same_memory(fact)]


def _versions(benchmark: Benchmark) -> dict[str, Any]:
    runtimes = {model.runtime: model.version for model in benchmark.models if model.runtime and model.version}
    system = {key: benchmark.machine.get(key) for key in ("os", "kernel", "python")}
    return {"edge-runtime": benchmark.version, **runtimes, **system}
