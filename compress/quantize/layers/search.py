"""Which layers have to be in float for an accuracy limit to hold, found on validation samples.

The layers are ranked by the error that each alone causes; the shortest beginning of that list which has to be in float
is found by halving, and then each of its layers is tried in int8 again.

"Hold" means the upper end of the 95 % interval of the paired difference from the float file. The search looks at one
split many times, so its last figure is a little too good; the report's is the test split's.
"""

from __future__ import annotations

import math

from compress.bench import stats
from compress.bench.words import points
from compress.quantize.job import Job
from compress.quantize.layers import sensitivity
from compress.quantize.layers.variants import Variants
from compress.quantize.layers.words import lost

RANKED_BY = 256
"""Validation samples: the error of the logits needs fewer than a share of right answers."""

NAMED = 3
"""Layers named where none, or all of them, would have to be."""


class Search:
    """Which layers have to be in float for `max_drop` to hold."""

    def __init__(self, variants: Variants, job: Job, count: Count) -> None:
        self._variants, self._job, self._count = variants, job, count
        self._limit = job.settings.max_drop

    def run(self, base: frozenset[str]) -> tuple[frozenset[str], list[str]]:
        """Layers to leave in float besides ``base``, none where it holds or cannot be met; and what to tell."""
        drop = self._variants.drop(base)
        if drop.high <= self._limit:
            return frozenset(), []
        everything = frozenset(self._variants.names)
        lines = [f"with {'the other' if base else 'all'} layers in int8: {lost(drop)}, {points(self._limit)} allowed"]
        samples = len(self._variants.split)
        needed = samples_needed(self._limit)
        few = needed is None or samples < needed
        if few or not self._holds(everything):
            return frozenset(), [*lines, *self._impossible(few, needed, base)]
        order = [name for name in self._rank() if name not in base]
        return self._shorten(base, order[: self._shortest(base, order)]), lines

    def _holds(self, kept: frozenset[str]) -> bool:
        self._count()
        return self._variants.holds(kept, self._limit)

    def _rank(self) -> list[str]:
        """By samples enough for the logits' error; the search itself looks at all of them."""
        split = sensitivity.draw(self._variants.split, RANKED_BY, 0)
        return sensitivity.most_harmful(self._variants.on(split), self._count)

    def _shortest(self, base: frozenset[str], order: list[str]) -> int:
        """How many of the most harmful layers have to be in float: none is too few, all are enough."""
        low, high = 0, len(order)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._holds(base | set(order[:middle])) else (middle, high)
        return high

    def _shorten(self, base: frozenset[str], order: list[str]) -> frozenset[str]:
        """Return to int8 what need not be in float, the least harmful first."""
        kept = frozenset(order)
        for name in reversed(order):
            if self._holds(base | kept - {name}):
                kept -= {name}
        return kept

    def _impossible(self, few: bool, needed: int | None, base: frozenset[str]) -> list[str]:
        if needed is None:
            reason = "no number of samples can show that nothing at all is lost"
        elif few:
            reason = (
                f"{len(self._variants.split)} validation samples cannot show it, even if no answer changed: at least "
                f"{needed} are needed"
            )
        else:
            drop = self._variants.drop(frozenset(self._variants.names))
            reason = f"not even all layers in float meet it: {lost(drop)}; this file's weights are not the float file's"
        line = f"max_drop of {points(self._limit)} cannot be met: {reason}"
        self._job.say(line)
        if few:
            return [line]
        worst = ", ".join([name for name in self._rank() if name not in base][:NAMED])
        return [line, f"the layers that disturb the answers most: {worst}"]


def samples_needed(limit: float) -> int | None:
    """The fewest samples on which a drop of at most ``limit`` can be shown: with not one answer changed. None for 0."""
    if limit <= 0:
        return None
    one = stats.tango(0, 0, 1).high
    z2 = one / (1 - one)  # with no flips the upper end is z^2 / (n + z^2)
    return max(1, math.ceil(z2 * (1 - limit) / limit - 1e-6))


class Count:
    """Progress in variants looked at; how many there will be is estimated from above."""

    def __init__(self, job: Job, layers: int) -> None:
        self._job, self._done, self._total = job, 0, 4 * layers + 1

    def __call__(self, count: int = 1) -> None:
        self._done = min(self._done + count, self._total - 1)
        self._job.on_batch(self._done, self._total)

    def finish(self) -> None:
        self._job.on_batch(self._total, self._total)
