"""What leaving layers in float costs and gains, in the words of the report."""

from __future__ import annotations

from compress.bench import stats
from compress.bench.figures import Interval, PairedDifference
from compress.bench.words import points, points_bracket
from compress.quantize.layers import sensitivity
from compress.quantize.layers.variants import ALL_INT8, Variants


def ratio(variants: Variants, this: frozenset[str] | None, other: frozenset[str] | None) -> Interval:
    """time(this) / time(other)"""
    medians, _ = variants.times({"this": this, "other": other}, **sensitivity.timing())
    return stats.ratio_interval(medians["this"], medians["other"])


def cost(variants: Variants, kept: frozenset[str]) -> str:
    """What leaving ``kept`` in float costs against all int8."""
    sizes = [variants.size(variant) / 1e3 for variant in (ALL_INT8, kept, None)]
    size = "a file of {1:.1f} kB instead of {0:.1f} kB (float: {2:.1f} kB)".format(*sizes)
    if not variants.can_be_timed:
        return f"leaving them in float: {size}, and time that this machine cannot measure"
    return f"leaving them in float: {times(ratio(variants, kept, ALL_INT8))} the time, and {size}"


def ordered(variants: Variants, kept: frozenset[str]) -> list[str]:
    """As the layers come in the network."""
    return [name for name in variants.names if name in kept]


def lost(drop: PairedDifference) -> str:
    return f"{points(drop.value)} lost on {drop.n} validation samples {points_bracket(drop.low, drop.high)}"


def times(interval: Interval) -> str:
    return f"{interval.value:.2f}x [{interval.low:.2f}, {interval.high:.2f}]"
