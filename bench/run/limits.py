"""What the recipe's limits are about: what is measured of a variant, and whether it keeps the limit.

A limit on something with an interval is met when the whole interval keeps it, not met when the whole interval breaks
it, and cannot be told in between: accuracy drop and speed-up against the teacher on the same runtime, and the median
latency, which is the table's. Size and peak memory are single numbers. What was not measured cannot be told, whatever
it probably is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from compress.bench import words
from compress.bench.figures import Interval, PairedDifference
from compress.bench.run.results import BudgetLine, Variant

Budget = Mapping[str, float | None]


@dataclass(frozen=True)
class _Limit:
    """``measured``: the quantity, with an interval where it has one. ``at_least``: the limit is a lower one."""

    measured: Callable[[Variant], Interval | PairedDifference | float | None]
    show: Callable[[float], str]
    at_least: bool = False


LIMITS = {
    "accuracy_drop": _Limit(lambda v: v.accuracy and v.accuracy.drop_vs_teacher, words.points),
    "latency": _Limit(lambda v: v.latency and (v.latency.interval or v.latency.p50), words.seconds),
    "size": _Limit(lambda v: v.size, words.size),
    "memory": _Limit(lambda v: v.memory and v.memory.peak, words.size),
    "speedup": _Limit(lambda v: v.latency and v.latency.ratio_to_teacher, words.times, at_least=True),
}


def keeps(variant: Variant, budget: Budget) -> tuple[int, int]:
    """How many limits of ``budget`` (None is no limit) the variant surely keeps, and how many it surely breaks."""
    found = [line(variant, what, limit).met for what, limit in budget.items() if limit is not None]
    return found.count(True), found.count(False)


def line(variant: Variant, what: str, limit: float) -> BudgetLine:
    """One limit against one variant. Raises KeyError for a limit with another name than those of ``LIMITS``."""
    rule = LIMITS[what]
    measured = rule.measured(variant)
    if measured is None:
        reason = variant.not_measured or f"there is no {what.replace('_', ' ')} to compare"
        return BudgetLine(what, limit, None, variant.target, variant.runtime, None, f"not measured: {reason}")
    exact = not isinstance(measured, Interval | PairedDifference)
    value, low, high = (measured,) * 3 if exact else (measured.value, measured.low, measured.high)
    within = (lambda x: x >= limit) if rule.at_least else (lambda x: x <= limit)
    met = within(low) if within(low) == within(high) else None
    return BudgetLine(
        what, limit, float(value), variant.target, variant.runtime, met, _by(rule, value, low, high, limit)
    )


def _by(rule: _Limit, value: float, low: float, high: float, limit: float) -> str:
    gap = f"{rule.show(abs(value - limit))} {'over' if value > limit else 'under'}" if value != limit else "exactly"
    said = f"{rule.show(value)}, {gap} the limit of {rule.show(limit)}"
    return said if low == high else f"{said} (95 % interval {words.spread(rule.show(low), rule.show(high))})"
