"""Accuracy control: int8 where it holds and pays, float where it does not.

`to: mixed` starts from all layers in int8, and

1. puts into float the layers that int8 makes no faster on the target: those where the whole interval of
   time(with it in float) / time(without) lies below 1 / 1.02: less is chance. Where the target
   cannot be timed here, none;
2. where the accuracy lost may be more than `max_drop`, ranks the layers by the error that each alone causes, finds the
   shortest beginning of that list which has to be in float, and then tries to return each of its layers to int8.

"May be": the upper end of the 95 % interval of the paired difference from the float file, on the validation split. The
search looks at that split many times, so its last figure is a little too good; the report's is the test split's.

`to: int8` with `max_drop` stays int8: :func:`control` says whether it holds, and what would make it.
"""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass

from compress.bench import stats
from compress.bench.recommend import WORTHWHILE
from compress.bench.results import Interval, PairedDifference
from compress.bench.words import points, points_bracket
from compress.quantize.job import Job
from compress.quantize.layers import keep, sensitivity
from compress.quantize.layers.variants import ALL_INT8, Variants, all_int8

PASSES = 3
"""Leaving a layer in float changes what its neighbours gain, so they are timed again, at most so often."""

RANKED_BY = 256
"""Validation samples: the error of the logits needs fewer than a share of right answers."""

NAMED = 3
"""Layers named where none, or all of them, would have to be."""


@dataclass(frozen=True)
class Control:
    """Whether `max_drop` holds, the upper end of what may be lost (0 to 1), and the lines for the report."""

    met: bool
    high: float
    story: list[str]


def quantize(job: Job) -> list[str]:
    """Write the mixed file to ``job.out``."""
    with all_int8(job, job.data.validation) as (variants, story):
        count = _Count(job, len(variants.names))
        slow = _slow(variants, job, count)
        costly, told = frozenset(), []
        if job.settings.max_drop is not None:
            search = _Search(variants, job, count)
            costly, told = search.run(frozenset(slow))
        kept = frozenset(slow) | costly
        reasons = _reasons(variants, kept, slow, costly)
        job.kept.update(reasons)
        story = [*story, *_times_used(variants, slow), *told]
        story += [f"{name} stays in float: {reason}" for name, reason in reasons.items()]
        if kept and kept == set(variants.names):
            story.append("that is every layer: the file is the float network again")
        story += _final(variants, kept)
        for file in keep.files(variants.file(kept)):
            shutil.copyfile(file, job.out.with_suffix(file.suffix))
        count.finish()
        return story


def control(job: Job) -> Control:
    """Check the finished ``job.out`` against `max_drop`; where it is missed, find out and say what meeting it costs."""
    with all_int8(job, job.data.validation, job.out) as (variants, _):
        limit, drop = job.settings.max_drop, variants.drop(ALL_INT8)
        if drop.high <= limit:
            return Control(True, drop.high, [f"max_drop holds: {_drop(drop)}, {points(limit)} allowed"])
        missed = f"max_drop is missed: {_drop(drop)}, {points(limit)} allowed"
        job.say(missed)
        if not variants.layers or job.settings.to == "mixed":  # which has searched already
            return Control(False, drop.high, [missed])
        count = _Count(job, len(variants.names))
        costly, told = _Search(variants, job, count).run(ALL_INT8)
        story = [missed, *told]
        if costly:
            story.append(f"in the way: {', '.join(_ordered(variants, costly))}; {_cost(variants, costly)}")
            story.append("`quantize: {to: mixed}` leaves such layers in float")
            job.say(story[-2])
        count.finish()
        return Control(False, drop.high, story)


def samples_needed(limit: float) -> int | None:
    """The fewest samples on which a drop of at most ``limit`` can be shown: with not one answer changed. None for 0."""
    if limit <= 0:
        return None
    one = stats.tango(0, 0, 1).high
    z2 = one / (1 - one)  # with no flips the upper end is z^2 / (n + z^2)
    return max(1, math.ceil(z2 * (1 - limit) / limit - 1e-6))


class _Count:
    """Progress in variants looked at; how many there will be is estimated from above."""

    def __init__(self, job: Job, layers: int) -> None:
        self._job, self._done, self._total = job, 0, 4 * layers + 1

    def __call__(self, count: int = 1) -> None:
        self._done = min(self._done + count, self._total - 1)
        self._job.on_batch(self._done, self._total)

    def finish(self) -> None:
        self._job.on_batch(self._total, self._total)


def _slow(variants: Variants, job: Job, count: _Count) -> dict[str, Interval]:
    """The layers that int8 surely makes no faster, and time(in float) / time(in int8) of each."""
    found: dict[str, Interval] = {}
    for turn in range(PASSES if variants.can_be_timed else 0):
        left = tuple(name for name in variants.names if name not in found)
        gains, _ = variants.gains(
            frozenset(found),
            left,
            rounds=sensitivity.ROUNDS,
            seconds=sensitivity.SECONDS,
            seed=turn,
            on_group=count if turn == 0 else None,
        )
        slower = {name: gain for name, gain in gains.items() if gain.high < 1 / WORTHWHILE}
        if not slower:
            break
        found |= slower
    if found and _ratio(variants, frozenset(found), ALL_INT8).low > 1:
        return {}  # each alone saves time, together they cost some: conversions between them
    return found


def _ratio(variants: Variants, this: frozenset[str] | None, other: frozenset[str] | None) -> Interval:
    """time(this) / time(other)"""
    settings = {"rounds": sensitivity.ROUNDS, "seconds": sensitivity.SECONDS, "seed": 0}
    medians, _ = variants.times({"this": this, "other": other}, **settings)
    return stats.ratio_interval(medians["this"], medians["other"])


class _Search:
    """Which layers have to be in float for `max_drop` to hold."""

    def __init__(self, variants: Variants, job: Job, count: _Count) -> None:
        self._variants, self._job, self._count = variants, job, count
        self._limit = job.settings.max_drop

    def run(self, base: frozenset[str]) -> tuple[frozenset[str], list[str]]:
        """Layers to leave in float besides ``base``, none where it holds or cannot be met; and what to tell."""
        drop = self._variants.drop(base)
        if drop.high <= self._limit:
            return frozenset(), []
        everything = frozenset(self._variants.names)
        lines = [f"with {'the other' if base else 'all'} layers in int8: {_drop(drop)}, {points(self._limit)} allowed"]
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
            reason = (
                f"not even all layers in float meet it: {_drop(drop)}; this file's weights are not the float file's"
            )
        line = f"max_drop of {points(self._limit)} cannot be met: {reason}"
        self._job.say(line)
        if few:
            return [line]
        worst = ", ".join([name for name in self._rank() if name not in base][:NAMED])
        return [line, f"the layers that disturb the answers most: {worst}"]


def _times_used(variants: Variants, slow: dict[str, Interval]) -> list[str]:
    if not variants.can_be_timed:
        return ["times were not used: this machine is not the target, so only accuracy decided"]
    return [] if slow else ["no layer is surely slower in int8 than in float here"]


def _reasons(
    variants: Variants, kept: frozenset[str], slow: dict[str, Interval], costly: frozenset[str]
) -> dict[str, str]:
    """Why each layer of ``kept`` stays in float."""
    reasons = {}
    for name in _ordered(variants, kept):
        if name in costly:
            cost = variants.drop(kept - {name}, reference=kept)
            reasons[name] = f"in int8 it costs {points(cost.value)} {points_bracket(cost.low, cost.high)}"
        else:
            reasons[name] = f"int8 is {_times(slow[name])} as fast here"
    return reasons


def _final(variants: Variants, kept: frozenset[str]) -> list[str]:
    whole = len(variants.names)
    lines = [f"{whole - len(kept)} of {whole} layers in int8, {len(kept)} in float: {_drop(variants.drop(kept))}"]
    if kept:
        lines.append(f"with all layers in int8: {_drop(variants.drop(ALL_INT8))}; {_cost(variants, kept)}")
    if variants.can_be_timed:
        lines.append(f"the float file takes {_times(_ratio(variants, None, kept))} as long as this one")
    return lines


def _cost(variants: Variants, kept: frozenset[str]) -> str:
    """What leaving ``kept`` in float costs against all int8."""
    sizes = [variants.size(variant) / 1e3 for variant in (ALL_INT8, kept, None)]
    size = "a file of {1:.1f} kB instead of {0:.1f} kB (float: {2:.1f} kB)".format(*sizes)
    if not variants.can_be_timed:
        return f"leaving them in float: {size}, and time that this machine cannot measure"
    return f"leaving them in float: {_times(_ratio(variants, kept, ALL_INT8))} the time, and {size}"


def _ordered(variants: Variants, kept: frozenset[str]) -> list[str]:
    return [name for name in variants.names if name in kept]


def _drop(drop: PairedDifference) -> str:
    return f"{points(drop.value)} lost on {drop.n} validation samples {points_bracket(drop.low, drop.high)}"


def _times(interval: Interval) -> str:
    return f"{interval.value:.2f}x [{interval.low:.2f}, {interval.high:.2f}]"
