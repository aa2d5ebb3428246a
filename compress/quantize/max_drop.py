"""Whether a finished file keeps to `max_drop`, and, where `to: int8` does not, what would make it."""

from __future__ import annotations

from dataclasses import dataclass

from compress.bench.words import points
from compress.quantize.job import Job
from compress.quantize.layers.search import Count, Search
from compress.quantize.layers.variants import ALL_INT8, all_int8
from compress.quantize.layers.words import cost, lost, ordered


@dataclass(frozen=True)
class Control:
    """Whether `max_drop` holds, the upper end of what may be lost (0 to 1), and the lines for the report."""

    met: bool
    high: float
    story: list[str]


def control(job: Job) -> Control:
    """Check the finished ``job.out`` against `max_drop`; where it is missed, find out and say what meeting it costs."""
    with all_int8(job, job.data.validation, job.out) as (variants, _):
        limit, drop = job.settings.max_drop, variants.drop(ALL_INT8)
        if drop.high <= limit:
            return Control(True, drop.high, [f"max_drop holds: {lost(drop)}, {points(limit)} allowed"])
        missed = f"max_drop is missed: {lost(drop)}, {points(limit)} allowed"
        job.say(missed)
        if not variants.layers or job.settings.to == "mixed":  # which has searched already
            return Control(False, drop.high, [missed])
        count = Count(job, len(variants.names))
        costly, told = Search(variants, job, count).run(ALL_INT8)
        story = [missed, *told]
        if costly:
            story.append(f"in the way: {', '.join(ordered(variants, costly))}; {cost(variants, costly)}")
            story.append("`quantize: {to: mixed}` leaves such layers in float")
            job.say(story[-2])
        count.finish()
        return Control(False, drop.high, story)
