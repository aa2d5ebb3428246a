"""What changed between two runs beyond noise, and what cannot be told: `compress diff OLDER NEWER`.

Variants are matched by stage, target and runtime. Up to six figures of each are compared:

* *accuracy*: in pairs, where both runs say which samples of the same data they got right (Tango's interval, see
  :mod:`compress.bench.stats`). Else as two proportions (Newcombe's interval), which is valid and several times wider.
* *speed*: the ratio of the run's own teacher's time to the variant's, on the same runtime. Within a run the two are
  interleaved, between runs nothing is: the machine may have been hotter, busier or in another power state, by far more
  than what a gate is to find. Such a state slows the teacher down as well, and the ratio stays what it is. The
  quotient of two runs' ratios, with its interval, therefore tells which share of time the variant gained or lost.
  Where the teacher is another network, or the machine another, a ratio means something else: not compared. What slows
  teacher and variant alike, such as a new version of the runtime may, is not seen here but only in the median.
* *median*: seconds of a call. Compared only where the machine is the same and both runs recorded conditions that are
  alike (:func:`~compress.bench.diff.judge.unlike`); else it is shown for information and decides nothing.
* *size*: bytes, exact.
* *memory*: peak of one fresh process each. It has no interval: its tolerance stands for its noise.
* *energy*: gross joules of a sample where both runs measured it with one sensor, under the conditions of medians
  (:mod:`compress.bench.diff.energies`).

A figure is **worse** when its interval lies wholly on the worse side and its estimate is worse by more than the
tolerance: beyond noise and beyond what is tolerated. Worse beyond noise and not beyond the tolerance is **tolerated**;
**better** needs only to be beyond noise. An interval that holds "no change" is **within noise** if the tolerance covers
its worse end, and else it **cannot be told**: the noise is larger than what is to be found.

An interval made within a run does not know how far the ratio itself moves from one run to the next: a neighbour on the
machine for half a minute, or where the program came to lie in memory, touches the teacher more than its student, or
less. ``RUN_TO_RUN`` is added to every ratio and median for that.

With twenty figures, one in twenty of which errs, most runs would raise a false alarm. The intervals of a comparison
therefore hold all together in 95 % (Bonferroni: each one at 1 - 0.05 / number of intervals).

Verdicts and budget lines that changed are told and decide nothing: they may tip over at a limit without any change
that could be told from noise.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from compress.bench import words
from compress.bench.diff import facts
from compress.bench.diff.energies import energy
from compress.bench.diff.facts import Fact
from compress.bench.diff.judge import Change, Judge, Word
from compress.bench.run.results import Results, Variant
from compress.bench.stats import LEVEL

SCHEMA = "compress.diff/1"
TOLERANCES = {"latency": 0.03, "accuracy": 0.005, "size": 0.01, "memory": 0.05, "energy": 0.05}
"""Fractions; of accuracy, absolute."""
RUN_TO_RUN = 0.02
"""Standard deviation, from run to run, of the logarithm of a ratio to the teacher: measured in docs/diff.md."""

Place = tuple[str, str, str]


class Judged:
    """What every comparison can be asked, of runs as of benchmarks."""

    __slots__ = ()
    unit: ClassVar[str] = "variant"
    heading: ClassVar[str] = "Step"
    method: ClassVar[str] = (
        "Speed: each run's ratio to its own teacher on that runtime, and the share of time which that says was gained "
        "or lost; medians decide only on a machine known to be in the same state. Verdicts and budget decide nothing "
        "here."
    )
    verdicts: ClassVar[tuple[Said, ...]] = ()
    budget: ClassVar[tuple[Said, ...]] = ()
    made_anew: ClassVar[Sequence[str]] = ()
    lost: ClassVar[Sequence[str]] = ()

    def having(self, word: Word) -> list[tuple[Any, Change]]:
        """The figures of which this is said, each with its pair."""
        return [(pair, change) for pair in self.pairs for change in pair.changes if change.word == word]

    @property
    def worse(self) -> bool:
        return bool(self.having("worse"))

    def unknown(self) -> list[str]:
        """What of the older run could not be judged, in words that follow the answer."""
        gone = len(self.only_old)
        return [f"{words.counted(gone, self.unit)} of the older run not compared"] if gone else []


@dataclass(frozen=True, slots=True)
class Pair:
    """A variant of both runs. ``precision``: in the newer one."""

    stage: str
    target: str
    runtime: str
    precision: str
    changes: tuple[Change, ...]

    @property
    def place(self) -> str:
        return words.place(self.target, self.runtime)

    @property
    def called(self) -> str:
        return self.stage if self.precision == "fp32" else f"{self.stage} {self.precision}"


@dataclass(frozen=True, slots=True)
class Said:
    """A verdict or budget line in both runs; None where a run has none. ``reason``: the newer run's."""

    what: str
    target: str
    runtime: str
    old: str | None
    new: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Difference(Judged):
    """All that differs. ``level``: of each interval. ``only_old``, ``only_new``: variants without a partner."""

    old: dict[str, str]
    new: dict[str, str]
    tolerances: dict[str, float]
    run_to_run: float
    level: float
    pairs: tuple[Pair, ...]
    only_old: tuple[str, ...] = ()
    only_new: tuple[str, ...] = ()
    verdicts: tuple[Said, ...] = ()
    budget: tuple[Said, ...] = ()
    recipe: list[Fact] = field(default_factory=list)
    data: list[Fact] = field(default_factory=list)
    versions: list[Fact] = field(default_factory=list)
    machine: list[Fact] = field(default_factory=list)
    made_anew: list[str] = field(default_factory=list)

    @property
    def incomplete(self) -> bool:
        """Whether a figure of the older run has nothing to be compared with; medians and energy between runs need not
        have."""
        missing = [change.figure for _, change in self.having("not compared") if change.old is not None]
        return bool(self.only_old) or not {"median", "energy"}.issuperset(missing)

    def explained(self) -> dict[str, list[Fact]]:
        """What differs besides the figures, by title."""
        return {"Recipe": self.recipe, "Data": self.data, "Versions": self.versions, "Machine": self.machine}


def compare(
    old: Results,
    new: Results,
    *,
    tolerances: Mapping[str, float] | None = None,
    run_to_run: float = RUN_TO_RUN,
    only: Sequence[str] = (),
) -> Difference:
    """``old`` against ``new``.

    ``tolerances``: by the names in ``TOLERANCES``. ``run_to_run``: standard deviation of times from run to run, as a
    fraction. ``only``: patterns of variants (``quantize/*``), of which one must match ``stage/target/runtime``. Raises
    :class:`~compress.bench.run.results.ResultsError` for a run whose answers contradict its accuracy.
    """
    allowed = {**TOLERANCES, **(tolerances or {})}
    before, after = ({_place(v): v for v in run.variants if _asked(v, only)} for run in (old, new))
    shared = [place for place in after if place in before]

    def pairs(level: float) -> tuple[Pair, ...]:
        judge = Judge(old, new, allowed, run_to_run, level)
        found = []
        for place in shared:
            one, other = before[place], after[place]
            state = judge.other_state(one, other)
            used = energy(one.energy, other.energy, state, allowed["energy"], between=run_to_run, level=level)
            found.append(Pair(*place, other.precision, (*judge.changes(one, other), *([used] if used else []))))
        return tuple(found)

    intervals = sum(change.low is not None for pair in pairs(LEVEL) for change in pair.changes)
    level = 1 - (1 - LEVEL) / max(1, intervals)
    return Difference(
        old={"name": old.name, "created": old.created},
        new={"name": new.name, "created": new.created},
        tolerances=allowed,
        run_to_run=run_to_run,
        level=level,
        pairs=pairs(level),
        only_old=tuple("/".join(place) for place in before if place not in after),
        only_new=tuple("/".join(place) for place in after if place not in before),
        verdicts=_said(_verdicts(old), _verdicts(new)),
        budget=_said(_budget(old), _budget(new)),
        recipe=facts.recipe_changes(old, new),
        data=facts.data_changes(old, new),
        versions=facts.version_changes(old, new),
        machine=facts.machine_changes(old, new),
        made_anew=facts.made_anew(old, new),
    )


def to_json(difference: Difference) -> str:
    """Indented JSON with the schema's name; `worse` and `incomplete` as in :class:`Difference`."""
    said = {"worse": difference.worse, "incomplete": difference.incomplete}
    return json.dumps({"schema": SCHEMA, **said, **asdict(difference)}, indent=1, allow_nan=False, ensure_ascii=False)


def _place(variant: Variant) -> Place:
    return variant.stage, variant.target, variant.runtime


def _asked(variant: Variant, only: Sequence[str]) -> bool:
    return not only or any(fnmatch.fnmatchcase("/".join(_place(variant)), pattern) for pattern in only)


def _verdicts(run: Results) -> dict[Place, tuple[str, str]]:
    return {(v.stage, v.target, v.runtime): (v.verdict, v.reason) for v in run.verdicts}


def _budget(run: Results) -> dict[Place, tuple[str, str]]:
    words = {True: "met", False: "not met", None: "cannot tell"}
    return {(line.what, line.target, line.runtime): (words[line.met], line.by) for line in run.budget}


def _said(old: dict[Place, tuple[str, str]], new: dict[Place, tuple[str, str]]) -> tuple[Said, ...]:
    """Those whose word changed, in the newer run's order."""
    nothing = (None, "")
    pairs = [(place, old.get(place, nothing), new.get(place, nothing)) for place in dict.fromkeys([*new, *old])]
    return tuple(Said(*place, a[0], b[0], b[1]) for place, a, b in pairs if a[0] != b[0])
