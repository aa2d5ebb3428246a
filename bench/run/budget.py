"""The gate: the student of every target and runtime against the recipe's limits."""

from __future__ import annotations

from collections.abc import Iterable

from compress.bench.run.limits import Budget, line
from compress.bench.run.recommend import students
from compress.bench.run.results import BudgetLine, Variant


def check_budget(variants: Iterable[Variant], budget: Budget) -> list[BudgetLine]:
    """One line for every limit of ``budget`` (names as in ``LIMITS``; None is no limit) and place.

    Raises KeyError for a limit with another name.
    """
    limits = {what: limit for what, limit in budget.items() if limit is not None}
    return [line(student, what, limit) for student in students(variants, limits) for what, limit in limits.items()]
