"""What changed between two benchmarks beyond noise: `compress diff OLDER NEWER` of two folders of `compress bench`.

Measurements are matched by model and cell (scenario, threads, batch); models go by their names. Compared are

* *speed*: the ratio to the benchmark's first model, measured in turns with it. A state of the machine slows both down,
  so the quotient of two benchmarks' ratios is what the model itself gained or lost. Not compared where the first model
  is another one, or its file has another size.
* *median*, *p90*, *p99* and *throughput*: of the calls, on the same machine. Nothing interleaves two benchmarks, so
  their states must be alike as far as they are known: governor, frequency, temperature, throttling. Where other
  programs used a share of the processor in one of them, that share counts as noise between the two, and as many calls
  of a percentile may have been slow for it; above ``BUSY`` nothing can be said. Intervals of percentiles and throughput
  are lopsided by nature, and count with their longer side (:func:`~compress.bench.diff.between.widest`).
* *cold start*: the medians of five fresh processes or more, in such states
  (:func:`~compress.bench.diff.between.of_few`).
* *size* of the file, exact, and *memory*, the peak of one fresh process; its tolerance stands for its noise.
* *energy*: gross joules of a sample by a sensor of both (:mod:`compress.bench.diff.energies`), where the machine's
  state allows medians.

What the older benchmark has and the newer one has not is *gone* (:mod:`compress.bench.diff.gone`): worse where the
model was refused, else unknown. The words, the tolerances, the noise from run to run and the level of the intervals are
those of :mod:`compress.bench.diff.compare`. Figures of an emulator are compared with those of an emulator only.
"""

from __future__ import annotations

import fnmatch
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from compress.bench.benchmark.grids import cell_words
from compress.bench.benchmark.results import Benchmark, Cell, Timing
from compress.bench.diff import facts
from compress.bench.diff.compare import RUN_TO_RUN, TOLERANCES, Judged
from compress.bench.diff.facts import Fact
from compress.bench.diff.gone import Gone, gone, partial
from compress.bench.diff.judge import Change
from compress.bench.diff.measured import Judge
from compress.bench.stats import LEVEL
from compress.bench.words import counted
from compress.suggest import few

SCHEMA = "compress.benchmark-diff/1"
FIGURES = ("latency", "size", "memory", "energy")
FILES = "files, cold start, memory and energy"
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
    """All that differs. ``level``: of each interval. ``only_old``, ``only_new``: timings without a partner; ``gone``:
    what of the older benchmark is missing, and why. ``partial``: why the older or the newer one is not whole."""

    unit: ClassVar[str] = "measurement"
    heading: ClassVar[str] = "Model"
    method: ClassVar[str] = (
        "Speed: each benchmark's ratio to its own first model, and the share of time which that says was gained or "
        "lost. Medians, p90, p99, throughput (as time a sample) and cold starts are compared on one machine in a like "
        "state; what other programs used of it counts as noise. Not compared: p99.9, sustained load, floors, layers."
    )

    old: dict[str, str]
    new: dict[str, str]
    tolerances: dict[str, float]
    run_to_run: float
    level: float
    pairs: tuple[ModelPair, ...]
    only_old: tuple[str, ...] = ()
    only_new: tuple[str, ...] = ()
    gone: tuple[Gone, ...] = ()
    partial: dict[str, str] = field(default_factory=dict)
    plan: list[Fact] = field(default_factory=list)
    versions: list[Fact] = field(default_factory=list)
    machine: list[Fact] = field(default_factory=list)

    @property
    def worse(self) -> bool:
        return bool(self.having("worse")) or any(lost.word == "worse" for lost in self.gone)

    @property
    def incomplete(self) -> bool:
        """Whether a figure of the older benchmark has nothing to be compared with, or the newer one is partial."""
        unknown = any(lost.word == "unknown" for lost in self.gone)
        return unknown or bool(self.only_old) or "newer" in self.partial or bool(self._apart())

    @property
    def lost(self) -> tuple[str, ...]:
        return tuple(f"{lost.what}: {lost.word}; {lost.why}" for lost in self.gone)

    def unknown(self) -> list[str]:
        """What could not be judged, and why, for the first sentence."""
        said = [f"the {which} benchmark is partial ({why})" for which, why in self.partial.items()]
        for word in ("worse", "unknown"):
            names = [lost.what for lost in self.gone if lost.word == word]
            said += [f"gone ({word}): {few(names, 4)}"] if names else []
        reasons = Counter(change.why for change in self._apart())
        return said + [f"{counted(count, 'figure')} not compared: {why}" for why, count in reasons.most_common()]

    def _apart(self) -> list[Change]:
        return [change for _, change in self.having("not compared") if change.old is not None]

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
    names = [name for name in _measured(old) if name in _measured(new) and _meant(name, [*before, *after], only)]
    elsewhere = "another machine" if _machine(old, new) else None
    elsewhere = "one of them is emulated" if old.emulated != new.emulated else elsewhere

    def pairs(level: float) -> tuple[ModelPair, ...]:
        judge = Judge(old, new, elsewhere, allowed, run_to_run, level)
        timed = [
            ModelPair(key[0], new.target, cell_words(after[key][0]), judge.times(before[key], after[key]))
            for key in shared
        ]
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
        gone=gone(new, _lost(old, new, before, after, only), elsewhere),
        partial={which: why for which, of in (("older", old), ("newer", new)) if (why := partial(of))},
        plan=facts.changed(*({key: b.plan.get(key) for key in PLAN} for b in (old, new))),
        versions=facts.changed(_versions(old), _versions(new)),
        machine=_machine(old, new),
    )


def to_json(difference: BenchmarkDifference) -> str:
    """Indented JSON with the schema's name; `worse` and `incomplete` as the exit code takes them."""
    said = {"worse": difference.worse, "incomplete": difference.incomplete, "unknown": difference.unknown()}
    return json.dumps({"schema": SCHEMA, **said, **asdict(difference)}, indent=1, allow_nan=False, ensure_ascii=False)


def _timings(benchmark: Benchmark, only: Sequence[str]) -> dict[tuple[str, str], tuple[Cell, Timing]]:
    """By model and cell. What was cut off in the middle counts: its interval says how little is known."""
    found = {(t.model, cell.id): (cell, t) for cell in benchmark.cells for t in cell.timings}
    return {key: of for key, of in found.items() if not only or _asked("/".join(key), only)}


def _measured(benchmark: Benchmark) -> list[str]:
    """The models that were opened."""
    return [model.name for model in benchmark.models if model.size is not None or model.version is not None]


def _meant(name: str, cells: Iterable[tuple[str, str]], only: Sequence[str]) -> bool:
    """Whether what is of no cell of a model is asked for: by ``MODEL/*``, or with one of its cells."""
    return not only or _asked(f"{name}/", only) or any(name == model for model, _ in cells)


def _lost(
    old: Benchmark,
    new: Benchmark,
    before: Collection[tuple[str, str]],
    after: Collection[tuple[str, str]],
    only: Sequence[str],
) -> list[tuple[str, str]]:
    """What of the older benchmark the newer one has not: timings, cold starts, memory."""
    lost = [key for key in before if key not in after]
    for part in ("cold", "memory"):
        there = {of.model for of in getattr(new, part)}
        missing = [of.model for of in getattr(old, part) if of.model not in there]
        lost += [(name, part) for name in missing if _meant(name, before, only)]
    return lost


def _asked(name: str, only: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in only)


def _machine(old: Benchmark, new: Benchmark) -> list[Fact]:
    found = [Fact(key, old.machine.get(key), new.machine.get(key)) for key in facts.MACHINE]
    return [fact for fact in found if fact.old != fact.new and not facts.same_memory(fact)]


def _versions(benchmark: Benchmark) -> dict[str, Any]:
    runtimes = {model.runtime: model.version for model in benchmark.models if model.runtime and model.version}
    system = {key: benchmark.machine.get(key) for key in ("os", "kernel", "python")}
    return {"edge-runtime": benchmark.version, **runtimes, **system}
