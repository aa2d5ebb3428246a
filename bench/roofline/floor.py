"""How fast a model could be on a machine, at best: the roofline model, with measured peaks.

    floor = max(compute, memory)        an inference takes no less, as far as the peaks are right
    compute = sum over products of MACs / peak rate of their precision
    memory  = bytes that must move / the rate at which they can

- The peak rate of int8 is the highest that any runtime reached, and at least that of float32: integers may be
  multiplied as floats. A precision without a measured rate counts as float32.
- Bytes are the weights, inputs and outputs, once each; and the activations of a product, where input and output
  together exceed the last-level cache: others can stay in it, and elementwise operators can be fused.
- They come from where the working set (weights, inputs, outputs, and the activations of the largest product) fits: the
  smallest cache that holds it, at that cache's measured rate, since the inference before has left it there; otherwise
  from memory, at the higher of the rates of reading and copying.

Both take place at the same time, hence the larger one. What is left out (everything but products) makes a floor lower,
so a model is never closer to what is possible than it says; it can be farther.

Williams, Waterman, Patterson: Roofline, Communications of the ACM 52(4), 2009. https://doi.org/10.1145/1498765.1498785
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from compress.bench import words
from compress.bench.roofline.cost import Cost

PEAK_SPREAD = 0.1
"""How far a measured peak may be off: repetitions on busy machines agree within this."""

Side = Literal["compute", "memory"]


@dataclass(frozen=True)
class Floor:
    """``seconds``: no inference takes less, if the peaks are right; ``compute`` and ``memory`` are its two sides, of
    which ``side`` binds.

    ``low``, ``high``: the floor if the peaks were a tenth higher, which alone is a bound, and if they were a tenth
    lower and everything came from memory (something else ran in between). ``rates``: MACs a second used, by precision;
    ``bandwidth``: bytes a second, from ``source`` ("memory", "level 2 cache"). ``reached``: floor / measured median, a
    fraction; None when nothing was measured. ``notes``: what is not known or not counted, in words.
    """

    seconds: float
    compute: float
    memory: float
    side: Side
    low: float
    high: float
    rates: dict[str, float]
    bandwidth: float
    source: str
    reached: float | None
    notes: tuple[str, ...]


def floor(cost: Cost, peaks: Mapping[str, Any], p50: float | None = None) -> Floor:
    """``cost``: of the inference that took ``p50`` seconds; ``peaks``: the event, for as many threads."""
    rates, notes = _rates(cost, peaks)
    compute = sum(product.macs / rates[product.precision] for product in cost.products)
    bandwidth, source = _bandwidth(cost, peaks)
    from_memory = max(peaks["read"], peaks["copy"])
    moved = _moved(cost, peaks)
    memory = moved / bandwidth
    seconds = max(compute, memory)
    if cost.uncounted:
        notes.append(f"not counted: what {', '.join(cost.uncounted)} multiply")
    if not peaks.get("resident"):
        notes.append("this machine does not tell its caches, so everything is taken to come from memory")
    reached = None if not p50 else seconds / p50
    if reached is not None and reached > 1 + PEAK_SPREAD:
        notes.append(
            "faster than the floor: the peak was measured while something else ran, or the runtime saves "
            "multiplications (Winograd's algorithm)"
        )
    return Floor(
        seconds=seconds,
        compute=compute,
        memory=memory,
        side="compute" if compute >= memory else "memory",
        low=seconds / (1 + PEAK_SPREAD),
        high=max(compute, moved / from_memory) / (1 - PEAK_SPREAD),
        rates=rates,
        bandwidth=bandwidth,
        source=source,
        reached=reached,
        notes=tuple(notes),
    )


def say(found: Floor) -> str:
    """``the floor of an inference is 182 us (165 to 202 us), by 87.6 GMAC/s in int8; this one reaches 56 %``."""
    rates = " and ".join(f"{giga(rate)} GMAC/s in {precision}" for precision, rate in found.rates.items())
    by = rates if found.side == "compute" else f"{giga(found.bandwidth)} GB/s from the {found.source}"
    spread = words.spread(words.seconds(found.low), words.seconds(found.high))
    text = f"the floor of an inference is {words.seconds(found.seconds)} ({spread}), by {by}"
    return (
        text if found.reached is None else f"{text}; this one reaches {words.percent(found.reached, 0)} of that speed"
    )


def giga(rate: float) -> str:
    return words.digits(rate / 1e9)


def rate(peaks: Mapping[str, Any], precision: str | None) -> float | None:
    """MACs a second of a precision, or None where the peaks do not tell it."""
    measured = [value for value in peaks["int8"].values() if value]
    if precision == "int8":
        return max(*measured, peaks["float32"]) if measured else None
    return peaks["float32"] if precision == "float32" else None


def _rates(cost: Cost, peaks: Mapping[str, Any]) -> tuple[dict[str, float], list[str]]:
    rates, notes = {}, []
    for precision in sorted({product.precision for product in cost.products}):
        found = rate(peaks, precision)
        if found is None:
            notes.append(f"no peak was measured for {precision}: that of float32 is taken, which may be lower")
        rates[precision] = found or peaks["float32"]
    return rates, notes


def _bandwidth(cost: Cost, peaks: Mapping[str, Any]) -> tuple[float, str]:
    working_set = cost.weights + cost.inputs + cost.outputs + cost.largest
    for cache in sorted(peaks.get("resident", []), key=lambda cache: cache["bytes"]):
        if working_set <= cache["bytes"]:
            return cache["read"], f"level {cache['level']} cache"
    return max(peaks["read"], peaks["copy"]), "memory"


def _moved(cost: Cost, peaks: Mapping[str, Any]) -> int:
    last = max((cache["bytes"] for cache in peaks.get("resident", [])), default=None)
    spilled = sum(product.moved for product in cost.products if last is not None and product.moved > last)
    return cost.weights + cost.inputs + cost.outputs + spilled
