"""Which of a place's models to take: the student.

The candidates are the last float network and what was quantized from it. First fall those that lost more accuracy
than the margin, or miss their own `max_drop`; then those that surely break more limits of the budget than others; then
those whose accuracy is less sure to be kept, or that are less sure to keep the limits. Of what is left, the fastest; of
those as fast as it (within what is worth a stage), the smallest file. So an int8 model that is slower than its float
parent is taken only where the budget asks for its size or memory.

Where nothing is measured there is no choosing: the first model that the recipe's last stages made is the student.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from compress.bench.figures import WORTHWHILE
from compress.bench.run.limits import Budget, keeps
from compress.bench.run.results import Variant, places
from compress.bench.stats import non_inferior

DEFAULT_MARGIN = 0.01


def students(variants: Iterable[Variant], budget: Budget) -> list[Variant]:
    """The recommended variant of every place that has any after the teacher, in the order the places first appear."""
    groups: dict[tuple[str, str], list[Variant]] = {}
    for variant in variants:
        groups.setdefault(places(variant), []).append(variant)
    return [_student(candidates, budget) for group in groups.values() if (candidates := _candidates(group))]


def best(candidates: list[Variant], budget: Budget) -> Variant:
    """The one to take of several, such as the students of one target's runtimes; the first where none is measured."""
    return _student(candidates, budget)


def margin_of(budget: Budget) -> float:
    """The non-inferiority margin: accuracy that may be lost, 0 to 1."""
    margin = budget.get("accuracy_drop")
    return DEFAULT_MARGIN if margin is None else margin


def _candidates(group: list[Variant]) -> list[Variant]:
    """The variants after the teacher that no other network was made from, and their float parent."""
    last = max(group, key=lambda v: v.step)
    if last.step == 0:
        return []
    siblings = [v for v in group if v.parent == last.parent and v.step > 0 and v.precision != "fp32"]
    if last.precision == "fp32":
        return [last]
    return siblings + [v for v in group if v.id == last.parent and v.step > 0]


def _student(candidates: list[Variant], budget: Budget) -> Variant:
    measured = [v for v in candidates if v.accuracy and v.latency]
    if not measured:
        return candidates[0]
    best = max(_kept(v, budget) for v in measured)
    measured = [v for v in measured if _kept(v, budget) == best]
    fastest = min(v.latency.p50 for v in measured)
    return min((v for v in measured if v.latency.p50 <= WORTHWHILE * fastest), key=lambda v: v.size or math.inf)


def _kept(variant: Variant, budget: Budget) -> tuple[bool, int, bool, int]:
    """What is kept of accuracy and budget; more is better."""
    drop = variant.accuracy.drop_vs_teacher
    kept = None if drop is None else non_inferior(drop, margin_of(budget))
    met, broken = keeps(variant, budget)
    promised = variant.max_drop is None or variant.max_drop.met
    return kept is not False and promised, -broken, kept is True, met
