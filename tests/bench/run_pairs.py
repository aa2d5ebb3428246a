"""Two runs to compare: the made-up one with what a real run says besides, and changed copies of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from compress.bench.figures import Interval
from compress.bench.run.results import Results, Variant
from compress.bench.run.right import pack
from compress.bench.stats import wilson

STUDENT = "quantize/this-machine/onnxruntime"


def complete(results: Results) -> Results:
    """With the data's fingerprint and, of each evaluated variant, which samples were right."""
    rows = [replace(v, right=pack(_first(v.accuracy.correct))) if v.accuracy else v for v in results.variants]
    return replace(results, variants=rows, data=results.data | {"fingerprint": "same"})


def change(results: Results, how: Callable[[Variant], Variant], which: str = STUDENT) -> Results:
    """With ``how`` done to one variant, named stage/target/runtime, or to all with ``"*"``."""
    rows = [how(v) if which in ("*", f"{v.stage}/{v.target}/{v.runtime}") else v for v in results.variants]
    return replace(results, variants=rows)


def slower(factor: float, width: float = 0.01) -> Callable[[Variant], Variant]:
    """Another measurement that took ``factor`` of the time; ratios with an interval of +- ``width``."""

    def slow(variant: Variant) -> Variant:
        latency = variant.latency
        if latency is None:
            return variant
        ratio = latency.ratio_to_teacher
        return replace(
            variant,
            latency=replace(
                latency,
                n=latency.n + 1,
                p50=latency.p50 * factor,
                ratio_to_teacher=ratio and around(ratio.value / factor, width),
                interval=around(latency.p50 * factor, width),
            ),
        )

    return slow


def wrong(newly_wrong: int, newly_right: int = 0, said: bool = True) -> Callable[[Variant], Variant]:
    """That many answers changed; ``said``: and which ones."""

    def spoil(variant: Variant) -> Variant:
        correct = variant.accuracy.correct
        right = _first(correct)
        right[:newly_wrong] = False
        right[correct : correct + newly_right] = True
        found = wilson(int(right.sum()), right.size)
        accuracy = replace(variant.accuracy, correct=int(right.sum()), value=found.value, interval=found)
        return replace(variant, accuracy=accuracy, right=pack(right) if said else None)

    return spoil


def around(value: float, width: float) -> Interval:
    return Interval(value, value / (1 + width), value * (1 + width))


def _first(correct: int, n: int = 10_000) -> np.ndarray:
    return np.arange(n) < correct
