"""One variant in two runs: which figures can be compared, how, and what may be said. The rules are in `compare`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from compress.bench.diff import facts
from compress.bench.diff.between import lost_unpaired, quotient
from compress.bench.figures import Interval, PairedDifference
from compress.bench.run.results import Results, Variant, places
from compress.bench.run.right import unpack
from compress.bench.stats import paired_difference

Word = Literal["worse", "tolerated", "better", "within noise", "cannot tell", "same", "not compared"]


@dataclass(frozen=True, slots=True)
class Change:
    """One figure of a variant in both runs; above 0 is worse in ``value``, ``low`` and ``high``, whatever the figure.

    ``old``, ``new``: as in the results: fraction, ratio, seconds, bytes; None where a run has none. ``value``: accuracy
    lost, or the relative growth of time, bytes; ``low``, ``high``: its interval; None where there is none. ``why``: how
    it was compared, or why not.
    """

    figure: str
    word: Word
    old: float | None
    new: float | None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    why: str = ""


class Judge:
    """Compares the variants of two runs, with intervals of one level; ``between``: see :func:`quotient`."""

    def __init__(
        self, old: Results, new: Results, tolerances: Mapping[str, float], between: float, level: float
    ) -> None:
        self._old, self._new, self._tolerances = old, new, tolerances
        self._between, self._level = between, level
        self._elsewhere = "another machine" if facts.machine_changes(old, new) else None
        self._teachers = [{places(v): v for v in run.variants if v.step == 0} for run in (old, new)]
        self._anew = set(facts.made_anew(old, new))

    def changes(self, old: Variant, new: Variant) -> tuple[Change, ...]:
        """Of every figure that at least one of the two has."""
        found = (self._accuracy, self._speed, self._median, self._size, self._memory)
        return tuple(change for figure in found if (change := figure(old, new)) is not None)

    def other_state(self, old: Variant, new: Variant) -> str | None:
        """Why what depends on the machine's state cannot be compared; None: it can."""
        return self._elsewhere or _asked_otherwise(old, new) or self._other_conditions(new)

    def _accuracy(self, old: Variant, new: Variant) -> Change | None:
        before, after = old.accuracy, new.accuracy
        found = _found("accuracy", before and before.value, after and after.value, old, new)
        if not isinstance(found, Both):
            return found
        names = [run.data.get("name") for run in (self._old, self._new)]
        if names[0] != names[1]:
            return found.apart(f"another data set: {names[0]}, then {names[1]}")
        same_samples = facts.same_test_samples(self._old, self._new) and before.n == after.n
        if same_samples and before == after and self._same_step("evaluate", old.stage):
            return found.same("the very same answers")
        if same_samples and old.right and new.right:
            drop = paired_difference(unpack(old.right, before), unpack(new.right, after), level=self._level)
            if not drop.better + drop.worse:
                return found.same(f"the same {drop.n} answers")
            why = f"paired, {drop.n} samples: {drop.worse} newly wrong, {drop.better} newly right"
        else:
            drop = lost_unpaired(before, after, level=self._level)
            why = (
                "unpaired: other test samples" if not same_samples else "unpaired: a run does not say which were right"
            )
        return found.judged(drop, self._tolerances["accuracy"], why)

    def _speed(self, old: Variant, new: Variant) -> Change | None:
        if old.step == 0 and new.step == 0:
            return None  # it is what the others' speed is measured by
        before, after = (v.latency and v.latency.ratio_to_teacher for v in (old, new))
        found = _found("speed", before and before.value, after and after.value, old, new)
        if not isinstance(found, Both):
            return found
        if obstacle := self._elsewhere or _asked_otherwise(old, new) or self._other_teacher(new):
            return found.apart(obstacle)
        if old.latency == new.latency:
            return found.same("the very same measurement")
        slower = quotient(before, after, level=self._level, between=self._between)
        return found.judged(less_one(slower), self._tolerances["latency"], "against each run's own teacher")

    def _median(self, old: Variant, new: Variant) -> Change | None:
        found = _found("median", *(v.latency and v.latency.p50 for v in (old, new)), old, new)
        if not isinstance(found, Both):
            return found
        if old.latency == new.latency and not self._elsewhere:
            return found.same("the very same measurement")
        intervals = [v.latency.interval for v in (old, new)]
        obstacle = self.other_state(old, new)
        if not obstacle and None in intervals:
            obstacle = "too few rounds for an interval"
        if obstacle:
            return found.apart(obstacle)
        slower = quotient(intervals[1], intervals[0], level=self._level, between=self._between)
        return found.judged(less_one(slower), self._tolerances["latency"], "same machine and conditions")

    def _size(self, old: Variant, new: Variant) -> Change | None:
        found = _found("size", old.size, new.size, old, new)
        if not isinstance(found, Both):
            return found
        word = word_for(found.growth, found.growth, found.growth, self._tolerances["size"])
        return Change("size", word, found.old, found.new, found.growth, why="exact")

    def _memory(self, old: Variant, new: Variant) -> Change | None:
        found = _found("memory", *(v.memory and v.memory.peak for v in (old, new)), old, new)
        if not isinstance(found, Both):
            return found
        if obstacle := self._elsewhere or _asked_otherwise(old, new):
            return found.apart(obstacle)
        if old.memory == new.memory:
            return found.same("the very same measurement")
        noise = self._tolerances["memory"]
        word: Word = "worse" if found.growth > noise else "better" if found.growth < -noise else "within noise"
        return Change("memory", word, found.old, found.new, found.growth, why="one process each")

    def _same_step(self, kind: str, stage: str) -> bool:
        """Whether both runs took what this stage's files answered from the same artifacts of the store."""
        start = f"{kind}/{stage}"
        labels = [
            {record.label for record in run.stages if record.label == start or record.label.startswith(f"{start}/")}
            for run in (self._old, self._new)
        ]
        return labels[0] == labels[1] != set() and not labels[0] & self._anew

    def _other_teacher(self, variant: Variant) -> str | None:
        teachers = [found.get(places(variant)) for found in self._teachers]
        if None in teachers:
            return "a run has no teacher on this runtime"
        networks = [(teacher.params, teacher.macs) for teacher in teachers]
        if networks[0] != networks[1] or teachers[0].precision != teachers[1].precision:
            return "the teacher is another network"
        return None

    def _other_conditions(self, variant: Variant) -> str | None:
        label = f"measure/{variant.target}/"
        of = [
            [run.conditions[key] for key in sorted(run.conditions) if key.startswith(label)]
            for run in (self._old, self._new)
        ]
        if not of[0] or len(of[0]) != len(of[1]):
            return "conditions were not recorded"
        return next((why for pair in zip(*of, strict=True) if (why := unlike(*pair))), None)


def unlike(old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    """Why the conditions of two measurements are not known to be alike; None: medians may be compared.

    Alike are: the same governor, frequency within 5 %, temperature within 10 degrees, no throttling in either, and load
    averages within 0.5 of each other. A governor and a load that cannot be read, as on most virtual machines, leave it
    open.
    """
    before, after = (run.get("before") or {} for run in (old, new))
    if None in (before.get("governor"), after.get("governor")):
        return "the governor cannot be read, so the machine's state is not known to be the same"
    if why := apart(before, after):
        return why
    for run in (old, new):
        moments = [run.get(when) or {} for when in ("before", "after")]
        counts = [moment.get("throttle_count") for moment in moments]
        if any(moment.get("throttled") for moment in moments) or counts[0] != counts[1]:
            return "the processor was throttled"
    loads = [(run.get("load_average") or [None])[0] for run in (before, after)]
    if None in loads:
        return "the load of others was not recorded"
    return None if abs(loads[0] - loads[1]) <= 0.5 else f"load {loads[0]:g}, then {loads[1]:g}"


def apart(before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
    """In what two states of a machine are known to differ: the governor, the frequency by more than 5 %, the
    temperature by more than 10 degrees."""
    governors = (before.get("governor"), after.get("governor"))
    if None not in governors and governors[0] != governors[1]:
        return f"governor {governors[0]}, then {governors[1]}"
    for what, near in (
        ("frequency", lambda a, b: abs(a - b) <= 0.05 * a),
        ("temperature", lambda a, b: abs(a - b) <= 10),
    ):
        values = (before.get(what), after.get(what))
        if None not in values and not near(*values):
            return f"{what} {values[0]:g}, then {values[1]:g}"
    return None


@dataclass(frozen=True)
class Both:
    """A figure that both runs have, and what may be said of it."""

    figure: str
    old: float
    new: float

    @property
    def growth(self) -> float:
        return self.new / self.old - 1

    def judged(self, found: Interval | PairedDifference, tolerance: float, why: str) -> Change:
        """``found``: how much worse."""
        word = word_for(found.value, found.low, found.high, tolerance)
        return Change(self.figure, word, self.old, self.new, found.value, found.low, found.high, why)

    def same(self, why: str) -> Change:
        return Change(self.figure, "same", self.old, self.new, 0.0, why=why)

    def apart(self, why: str) -> Change:
        return Change(self.figure, "not compared", self.old, self.new, why=why)


def _found(figure: str, before: float | None, after: float | None, old: Variant, new: Variant) -> Both | Change | None:
    """Both figures; or what is to be said where one is missing; None where both are."""
    if before is not None and after is not None:
        return Both(figure, before, after)
    if before is None and after is None:
        return None
    missing, run = (new, "newer") if after is None else (old, "older")
    why = f"only the {'older' if after is None else 'newer'} run has it"
    if missing.not_measured:
        why = f"not measured in the {run}: {missing.not_measured}"
    return Change(figure, "not compared", before, after, why=why)


def word_for(value: float, low: float, high: float, tolerance: float) -> Word:
    if low == high == 0:
        return "same"
    if low > 0:
        return "worse" if value > tolerance else "tolerated"
    if high < 0:
        return "better"
    return "within noise" if high <= tolerance else "cannot tell"


def less_one(ratio: Interval) -> Interval:
    return Interval(ratio.value - 1, ratio.low - 1, ratio.high - 1)


def _asked_otherwise(old: Variant, new: Variant) -> str | None:
    """Threads and batches make it another question."""
    pairs = ((what, getattr(old, what), getattr(new, what)) for what in ("threads", "batch"))
    return next((f"{what} {before}, then {after}" for what, before, after in pairs if before != after), None)
