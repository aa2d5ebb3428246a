"""When variants are opened anew during a measurement, and what that has taken.

Where a model comes to lie in memory makes it a little faster or slower for as long as it is open. Opening it several
times tells how much, and costs time. There are two schedules:

- *spread*: eight openings over the whole measurement, if opening alone takes no more than the whole, otherwise one;
- *frequent*, for a measurement that may end early: twice as much time goes into timing what is open as went into
  opening it and warming it up, for as many openings as come of that; one, if eight took more than half of the time.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping

from edge_runtime.errors import ProbeError

Call = Callable[[], object]
Reopen = Callable[[list[str]], Mapping[str, Call]]

PLACEMENTS = 8
"""How often variants are opened on the spread schedule."""
LEAST_PLACEMENTS = 6
"""Fewer openings give no 95 % interval of how they differ; then there is only one."""
MOST_PLACEMENTS = 100
"""How often variants are opened on the frequent schedule, at most."""
SHARE = 0.5
"""Of the whole time that opening and warming up may take on the frequent schedule."""
TIMING = 2.0
"""Time between two openings on the frequent schedule, by what an opening takes. The best is unknown before: it is more
where rounds are noisy, and less where openings differ."""


class Openings:
    """``number`` counts from 0; ``seconds`` is what opening has taken, ``first_seconds`` the first time of it."""

    def __init__(self, names: Iterable[str], reopen: Reopen | None, draw: random.Random, *, frequent: bool) -> None:
        self._names, self._reopen, self._draw, self._frequent = list(names), reopen, draw, frequent
        self._planned = 1
        self._rounds = 0
        self._since = 0
        self.number = 0
        self.seconds = self.first_seconds = 0.0

    @property
    def several(self) -> bool:
        """Whether there will be more than one."""
        return self._planned > 1

    def open(self) -> dict[str, Call]:
        """Open all, in an order drawn anew."""
        started = time.perf_counter()
        opened = dict(self._reopen(self._draw.sample(self._names, len(self._names))))
        if missing := [name for name in self._names if name not in opened]:
            raise ProbeError(f"opening anew gave no call for {', '.join(missing)}")
        took = time.perf_counter() - started
        self.first_seconds = self.first_seconds or took
        self.seconds += took
        self._since = 0
        return opened

    def schedule(self, limit: float, warm_up_seconds: float, round_seconds: float) -> None:
        """After the first opening: how often there will be another within ``limit`` seconds. ``warm_up_seconds``: what
        warming all up anew takes; ``round_seconds``: a round."""
        if self._reopen is None:
            return
        if not self._frequent:
            affordable = int(limit / max(self.seconds, 1e-9))
            self._planned = min(PLACEMENTS, affordable) if affordable >= LEAST_PLACEMENTS else 1
            return
        each = max(self.first_seconds + warm_up_seconds, 1e-9)
        affordable = int(SHARE * limit / each)
        if affordable < PLACEMENTS:
            return
        self._planned = min(MOST_PLACEMENTS, affordable)
        # In a short measurement less: eight openings are to fit into it.
        between = min(TIMING * each, limit / PLACEMENTS - each)
        self._rounds = max(1, int(between / max(round_seconds, 1e-9)))

    def round_done(self) -> None:
        self._since += 1

    def due(self, progress: float) -> bool:
        """Whether to open anew before the next round. ``progress``: how much of the measurement is over, 0 to 1."""
        if self.number + 1 >= self._planned:
            return False
        return self._since >= self._rounds if self._frequent else int(progress * self._planned) > self.number

    def again(self) -> dict[str, Call]:
        self.number += 1
        return self.open()
