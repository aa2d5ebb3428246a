"""Accuracy control: int8 where it holds and pays, float where it does not.

`to: mixed` starts from all layers in int8, and

1. puts into float the layers that int8 makes no faster on the target (``layers/slow.py``); where the target cannot be
   timed here, none;
2. where the accuracy lost may be more than `max_drop`, puts those into float that cost it (``layers/search.py``).

`to: int8` with `max_drop` stays int8: ``max_drop.py`` says whether it holds, and what would make it.
"""

from __future__ import annotations

import shutil

from compress.bench.words import points, points_bracket
from compress.quantize.job import Job
from compress.quantize.layers import keep
from compress.quantize.layers.search import Count, Search
from compress.quantize.layers.slow import slow
from compress.quantize.layers.variants import ALL_INT8, Variants, all_int8
from compress.quantize.layers.words import cost, lost, ordered, ratio, times


def quantize(job: Job) -> list[str]:
    """Write the mixed file to ``job.out``."""
    with all_int8(job, job.data.validation) as (variants, story):
        count = Count(job, len(variants.names))
        idle = slow(variants, count)
        costly, told = frozenset(), []
        if job.settings.max_drop is not None:
            costly, told = Search(variants, job, count).run(frozenset(idle))
        kept = frozenset(idle) | costly
        reasons = {name: idle.get(name) or _price(variants, kept, name) for name in ordered(variants, kept)}
        job.kept.update(reasons)
        story = [*story, *_asked(variants, job, idle), *told]
        story += [f"{name} stays in float: {reason}" for name, reason in reasons.items()]
        if kept and kept == set(variants.names):
            story.append("that is every layer: the file is the float network again")
        story += _final(variants, kept)
        for file in keep.files(variants.file(kept)):
            shutil.copyfile(file, job.out.with_suffix(file.suffix))
        count.finish()
        return story


def _asked(variants: Variants, job: Job, idle: dict[str, str]) -> list[str]:
    """What was not looked at, or found nothing."""
    lines = [] if job.settings.max_drop is not None else ["without max_drop, only time decided"]
    if not variants.can_be_timed:
        return [*lines, "times were not used: this machine is not the target, so only accuracy decided"]
    return lines if idle else [*lines, "no layer, and no group of them, is surely slower in int8 than in float here"]


def _price(variants: Variants, kept: frozenset[str], name: str) -> str:
    drop = variants.drop(kept - {name}, reference=kept)
    return f"in int8 it costs {points(drop.value)} {points_bracket(drop.low, drop.high)}"


def _final(variants: Variants, kept: frozenset[str]) -> list[str]:
    whole = len(variants.names)
    lines = [f"{whole - len(kept)} of {whole} layers in int8, {len(kept)} in float: {lost(variants.drop(kept))}"]
    if kept:
        lines.append(f"with all layers in int8: {lost(variants.drop(ALL_INT8))}; {cost(variants, kept)}")
    if variants.can_be_timed:
        lines.append(f"the float file takes {times(ratio(variants, None, kept))} as long as this one")
    return lines
