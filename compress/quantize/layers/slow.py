"""Which layers are to be in float for the sake of time.

1. Every layer is timed in float, all others in int8. Those that are surely faster so are in question; since leaving one
   in float changes what its neighbours gain, the others are then timed again.
2. Small losses of many layers show only together, and so do the conversions between float and int8: so that group, and
   the quarter, half, three quarters and whole of the layers that gained least, are timed against all int8.

The fastest of these is taken if it is surely faster than all int8, by more than a verdict calls chance.
"""

from __future__ import annotations

import numpy as np

from compress.bench import stats
from compress.bench.figures import WORTHWHILE, Interval
from compress.quantize.layers import sensitivity
from compress.quantize.layers.search import Count
from compress.quantize.layers.variants import ALL_INT8, Variants
from compress.quantize.layers.words import times

PASSES = 3
"""How often at most layers are timed again."""

PARTS = 4


def slow(variants: Variants, count: Count) -> dict[str, str]:
    """Name and reason of each; none where the target cannot be timed here."""
    if not variants.can_be_timed:
        return {}
    alone, found = _one_by_one(variants, count)
    least = sorted(variants.names, key=lambda name: alone[name].value)
    groups = [ALL_INT8, frozenset(found)]
    groups += [frozenset(least[: -(-len(least) * part // PARTS)]) for part in range(1, PARTS + 1)]
    medians, _ = variants.times(dict(zip("abcdef", groups, strict=True)), **sensitivity.timing(PASSES))
    blocks = list(medians.values())
    best = min(range(len(groups)), key=lambda index: float(np.median(blocks[index])))
    gain = stats.ratio_interval(blocks[best], blocks[0])
    if gain.high >= 1 / WORTHWHILE:
        return {}
    together = f"with {len(groups[best])} layers in float the network takes {times(gain)} as long here"
    return {name: f"int8 is {times(found[name])} as fast here" if name in found else together for name in groups[best]}


def _one_by_one(variants: Variants, count: Count) -> tuple[dict[str, Interval], dict[str, Interval]]:
    """time(in float) / time(in int8) of every layer, and of those among them that are surely faster in float."""
    alone: dict[str, Interval] = {}
    found: dict[str, Interval] = {}
    for turn in range(PASSES):
        left = tuple(name for name in variants.names if name not in found)
        gains, _ = variants.gains(
            frozenset(found), left, on_group=count if turn == 0 else None, **sensitivity.timing(turn)
        )
        alone = alone or gains
        slower = {name: gain for name, gain in gains.items() if gain.high < 1 / WORTHWHILE}
        if not slower:
            break
        found |= slower
    return alone, found
