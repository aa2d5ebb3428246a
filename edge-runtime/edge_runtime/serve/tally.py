"""How each version has been doing, which a trial is judged by."""

from __future__ import annotations

from collections import deque
from collections.abc import Container
from dataclasses import dataclass, field

import numpy as np

RECENT = 1000
"""Single-sample inferences whose times are kept for the p99."""
ENOUGH = 100
"""Fewer of them than this tell no p99."""


@dataclass
class Tally:
    """How one version has been doing since it was last asked. ``good``: answers that were made. ``failed``: those that
    were not, by the model's own fault. ``p99``: seconds, or None while too few are known."""

    good: int = 0
    failed: int = 0
    p99: float | None = None


@dataclass
class Account:
    """``times``: seconds of the latest single-sample inferences."""

    tally: Tally = field(default_factory=Tally)
    times: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))

    def good(self) -> None:
        self.tally.good += 1

    def failed(self, count: int) -> None:
        self.tally.failed += count


class Accounts:
    """By the hash of the bundle."""

    def __init__(self) -> None:
        self._of: dict[str, Account] = {}

    def __getitem__(self, id: str) -> Account:
        return self._of[id]

    def open(self, id: str, keep: Container[str | None]) -> Account:
        """The account of a bundle, new if need be. Others than those to ``keep`` are closed."""
        self._of = {key: account for key, account in self._of.items() if key == id or key in keep}
        return self._of.setdefault(id, Account())

    def told(self, id: str) -> Tally:
        """How the bundle has been doing since this was last called; its count starts anew."""
        account = self._of.get(id)
        if account is None:
            return Tally()
        told, account.tally = account.tally, Tally()
        times = list(account.times)
        told.p99 = float(np.percentile(times, 99)) if len(times) >= ENOUGH else None
        return told

    def give_back(self, id: str, told: Tally) -> None:
        """What was ``told`` reached nobody: it is told again next time."""
        if id in self._of:
            self._of[id].tally.good += told.good
            self._of[id].tally.failed += told.failed
