"""Did it pay? The rules, in plain words.

A stage is judged on each target and runtime by itself, by comparing its variant with its **parent**, the variant one
step before there, and by looking at what is left of the **teacher**'s accuracy.

Gained:

* *speed*, when the whole interval of time(parent) / time(this) is at least 1.02. Less is not worth a stage, and is
  about what an accident of memory placement does to two copies of one file.
* *size*, when the files are at least 1.02 times smaller (sizes are exact).
* *memory*, when the process's peak is at least 1.05 times smaller (one fresh process each; a few percent are chance).
* *accuracy*, when the whole interval of the gain against the parent is at least 0.1 points.

Lost:

* *accuracy*, judged by non-inferiority: the 95 % interval of the drop against the parent lies wholly below the margin
  (kept), wholly above it (lost), or across it (cannot tell). The margin is the budget's ``accuracy_drop``, and 1 point
  where the recipe has none. "Not significantly different" is never taken for "as good".
* *speed*, when the whole ratio interval is below 1 / 1.02.

Verdicts of a stage that changes the network (prune, quantize, distilling into another architecture), first rule first:

1. No latency or no accuracy, or no parent to compare with: **not measured**.
2. Accuracy lost, or the stage's own `max_drop` missed: **did not pay**; it cannot be told: **cannot tell**. Unless a
   distillation later in the recipe brings the student back within the margin of the teacher: pruning and distilling are
   one purchase, so the stage is then judged on what it gained, and the reason says so.
3. Speed gained: **paid**.
4. Size, memory or accuracy gained, which the recipe's budget limits: **paid**. Accuracy counts where the parent was
   not surely within the budget's ``accuracy_drop`` of the teacher (that limit bounds a loss; it asks for no more than
   the teacher has).
5. Size, memory or accuracy gained, which no budget asks for: **paid** when the whole interval of the speed is at least
   1 / 1.02, so that the gain surely costs no speed worth the name; **did not pay** when the speed is lost; **cannot
   tell** when the interval lies across. An uncertain speed so never counts for more than a certain one.
6. Nothing gained: **cannot tell** while the speed's interval still holds 1.02; else **did not pay**.

The student as a whole, the recommended variant of a place (:mod:`compress.bench.run.recommend`), is judged by the same
rules 1 to 6 with the teacher in the parent's place; the reason names it where it is not the last one made, and the
limits of the budget that it misses (:func:`judge_students`).

A distillation that leaves the network as it was can only pay in accuracy: **paid** when the whole interval of the gain
against the parent is above 0, **did not pay** when the whole interval is below 0.1 points, else **cannot tell**.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from compress.bench import words
from compress.bench.figures import WORTHWHILE, Interval, PairedDifference
from compress.bench.run.budget import check_budget
from compress.bench.run.limits import Budget
from compress.bench.run.recommend import margin_of, students
from compress.bench.run.results import StageRecord, Variant, Verdict, VerdictWord, places
from compress.bench.stats import non_inferior

WORTHWHILE_MEMORY = 1.05
WORTHWHILE_ACCURACY = 0.001
RECOVERING = "distill"
STUDENT = "student"


def judge(
    variants: Sequence[Variant],
    *,
    budget: Budget | None = None,
    stages: Iterable[StageRecord] = (),
    features: Mapping[str, Collection[str]] | None = None,
) -> list[Verdict]:
    """A verdict for every variant after the teacher, in the recipe's order.

    ``budget``: the recipe's, its missing limits None. ``stages``: tell the kind of a stage from its label; a stage
    without record is of the kind its label says. ``features``: each target's instruction-set features, to explain int8
    that is not faster.
    """
    kinds = {record.label: record.kind for record in stages}
    known = {variant.id: variant for variant in variants}
    judged = []
    for variant in sorted(variants, key=lambda v: (v.target, v.runtime, v.step)):
        if variant.step == 0:
            continue
        case = _Case(
            variant=variant,
            reference=known.get(variant.parent or ""),
            called="the step before",
            speed=variant.latency and variant.latency.ratio_to_parent,
            drop=variant.accuracy and variant.accuracy.drop_vs_parent,
            later=[v for v in variants if places(v) == places(variant) and v.step > variant.step],
            kinds=kinds,
            budget=budget or {},
            features=(features or {}).get(variant.target, ()),
        )
        judged.append(Verdict(variant.stage, variant.target, variant.runtime, *case.decide(), variant.id))
    return judged


def judge_students(variants: Sequence[Variant], *, budget: Budget | None = None) -> list[Verdict]:
    """A verdict on the whole: every place's recommended variant against the teacher there. The stage is ``STUDENT``."""
    lines = check_budget(variants, budget or {})
    teachers = {places(variant): variant for variant in variants if variant.step == 0}
    judged = []
    for variant in students(variants, budget or {}):
        case = _Case(
            variant=variant,
            reference=teachers.get(places(variant)),
            called="the teacher",
            speed=variant.latency and variant.latency.ratio_to_teacher,
            drop=variant.accuracy and variant.accuracy.drop_vs_teacher,
            budget=budget or {},
        )
        word, reason = case.decide()
        last = max((v for v in variants if places(v) == places(variant)), key=lambda v: v.step)
        taken = None if variant is last else f"taken is {words.step(variant)}"
        here = (line for line in lines if (line.target, line.runtime) == places(variant))
        missed = [line.what.replace("_", " ") for line in here if line.met is False]
        budget_words = f"misses the budget's {_list(missed)}" if missed else None
        reason = _join(taken, reason, budget_words)
        judged.append(Verdict(STUDENT, variant.target, variant.runtime, word, reason, variant.id))
    return judged


@dataclass(frozen=True)
class _Case:
    """One variant against its reference. ``called``: the reference in words; ``later``: the variants after this one."""

    variant: Variant
    reference: Variant | None
    called: str
    speed: Interval | None
    drop: PairedDifference | None
    budget: Budget
    later: Sequence[Variant] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    features: Collection[str] = ()

    def decide(self) -> tuple[VerdictWord, str]:
        missing = self._missing()
        if missing:
            return "not measured", missing
        if self._only_recovers():
            return self._recovery()
        kept = non_inferior(self.drop, margin_of(self.budget))
        repair = None if kept else self._repair()
        if kept or repair:
            word, why = self._trade()
        else:
            word, why = ("did not pay" if kept is False else "cannot tell"), None
        promise = self.variant.max_drop
        missed = None
        if promise is not None and not promise.met:
            word, missed = "did not pay", f"misses its max_drop: up to {words.points(promise.high)} may be lost"
        said = (self._speed_words(), self._size_words(), self._memory_words(), why, self._accuracy_words(kept), repair)
        return word, _join(*said, missed)

    def _missing(self) -> str | None:
        if self.variant.not_measured:
            return self.variant.not_measured
        if self.reference is None:
            return f"{self.called} has no variant on this runtime to compare with"
        if self.speed is None:
            return f"its latency was not measured side by side with {self.called}"
        return None if self.drop else f"its accuracy was not measured on the same samples as that of {self.called}"

    def _trade(self) -> tuple[VerdictWord, str | None]:
        """Rules 3 to 6: the accuracy is kept; was anything gained that is worth what it cost?"""
        gained = [what for what in ("size", "memory") if self._shrunk(what)]
        gained += ["accuracy"] * (self.drop.high <= -WORTHWHILE_ACCURACY)
        if self.speed.low >= WORTHWHILE:
            return "paid", None
        if gained and self.speed.low >= 1 / WORTHWHILE:
            return "paid", f"kept for its {_list(gained)}"
        if limited := [what for what in gained if self._limited(what)]:
            return "paid", f"kept for its {_list(limited)}, which the budget limits"
        if gained and self._slower():
            return "did not pay", f"the budget asks for no gain in {_list(gained)}"
        if gained:
            return "cannot tell", f"it may be slower, and the budget asks for no gain in {_list(gained)}"
        uncertain = self.speed.low < WORTHWHILE <= self.speed.high
        return ("cannot tell" if uncertain else "did not pay"), None

    def _slower(self) -> bool:
        return self.speed.high < 1 / WORTHWHILE

    def _limited(self, what: str) -> bool:
        """Whether the budget limits it; accuracy counts where the limit was in question before (rule 4)."""
        if what != "accuracy":
            return self.budget.get(what) is not None
        before = self.reference.accuracy and self.reference.accuracy.drop_vs_teacher
        in_question = before is not None and not non_inferior(before, margin_of(self.budget))
        return in_question and self.budget.get("accuracy_drop") is not None

    def _recovery(self) -> tuple[VerdictWord, str]:
        if self.drop.high < 0:
            word = "paid"
        else:
            word = "did not pay" if -self.drop.low < WORTHWHILE_ACCURACY else "cannot tell"
        return word, _join(
            f"{words.lost(self.drop)} over the step before, the network unchanged", self._teacher_words()
        )

    def _repair(self) -> str | None:
        """Says how a later distillation brought the accuracy back, if one did."""
        for other in self.later:
            drop = other.accuracy.drop_vs_teacher if other.accuracy else None
            if drop and self._kind(other) == RECOVERING and non_inferior(drop, margin_of(self.budget)):
                return f"{other.stage} then brings it back within the margin of the teacher"
        return None

    def _only_recovers(self) -> bool:
        """Whether this distillation left the network as it was; the size tells where the counts are unknown."""
        counts = (self.variant.params, self.variant.macs) == (self.reference.params, self.reference.macs)
        size = 1 / WORTHWHILE < (self._factor("size") or 1) < WORTHWHILE
        return counts and size and self._kind(self.variant) == RECOVERING

    def _kind(self, variant: Variant) -> str:
        return self.kinds.get(variant.stage, variant.stage)

    def _factor(self, what: str) -> float | None:
        """How many times smaller than the parent in ``size`` or ``memory``; None where either is unknown."""
        if self.reference is None:
            return None
        if what == "size":
            before, after = self.reference.size, self.variant.size
        else:
            before, after = (v.memory.peak if v.memory else None for v in (self.reference, self.variant))
        return before / after if before and after else None

    def _shrunk(self, what: str) -> bool:
        factor = self._factor(what)
        return factor is not None and factor >= (WORTHWHILE if what == "size" else WORTHWHILE_MEMORY)

    def _speed_words(self) -> str:
        narrower = self.variant.precision != "fp32" and self.reference.precision == "fp32"
        quantized = narrower and self.variant.precision.startswith("int8")
        said = f"{words.ratio(self.speed)} the speed of {self.called} here"
        if narrower and self.variant.parent == self.reference.id:
            said = f"{words.ratio(self.speed)} the speed of {self.reference.precision} here"
        if self.speed.low >= WORTHWHILE:
            return said
        if self.speed.high >= WORTHWHILE:
            or_slower = " or to exclude that it is slower" if self.speed.low < 1 / WORTHWHILE else ""
            return f"{said}: too uncertain to call faster{or_slower}"
        outcome = "slower" if self._slower() else "not faster"
        return f"{said}: {outcome}{_int8_words(self.features) if quantized else ''}"

    def _size_words(self) -> str | None:
        factor = self._factor("size")
        if factor is None:
            return None
        if factor < 1 / WORTHWHILE:
            return f"the file {words.times(1 / factor)} larger"
        return f"the file {words.times(factor)} smaller" if self._shrunk("size") else "the file no smaller"

    def _memory_words(self) -> str | None:
        if not self._shrunk("memory"):
            return None
        return f"peak memory {words.times(self._factor('memory'))} smaller"

    def _accuracy_words(self, kept: bool | None) -> str:
        outcome = {True: "within", False: "more than", None: "not surely within"}[kept]
        default = " (the default)" if self.budget.get("accuracy_drop") is None else ""
        return f"{words.lost(self.drop)}, {outcome} the margin of {words.points(margin_of(self.budget))}{default}"

    def _teacher_words(self) -> str | None:
        drop = self.variant.accuracy.drop_vs_teacher
        return f"against the teacher it {words.lost(drop)}" if drop else None


def _int8_words(features: Collection[str]) -> str:
    """What is to be known of a CPU with these features on which int8 is not faster; empty for an unknown one."""
    features = set(features)
    if features & {"avx2", "avx512f"}:
        name, having = "VNNI", {"avx_vnni", "avx512_vnni", "amx_int8"}
    elif "asimd" in features:
        name, having = "dot-product instructions", {"dotprod", "i8mm"}
    else:
        return ""
    if features & having:
        return f", although this CPU has {name}"
    return f" (this CPU has no {name}, without which int8 saves few instructions)"


def _list(names: Sequence[str]) -> str:
    """``size``, ``size and memory``, ``size, memory and accuracy``."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _join(*parts: str | None) -> str:
    return "; ".join(part for part in parts if part)
