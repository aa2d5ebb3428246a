"""Which layer is to blame: for every layer, what its int8 costs in accuracy and what it gains in time, both measured.

Two questions are asked of every layer, since errors of several layers add up or hide each other:

- *alone in int8*, all others in float: what does its rounding do to the answers?
- *alone in float*, all others in int8: what would leaving it out give back, and how much slower would that be?

Accuracy is compared on the same samples, with Tango's interval; on a few thousand samples one layer rarely flips enough
answers to tell. The logits' error is the steadier signal, and the order of the ranking: its square is roughly additive
over layers. Times are those of variants that run in turns (see ``edge_runtime.probes.latency``).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from compress.bench import stats
from compress.bench.figures import Interval
from compress.bench.sensitivity.ranking import Ranking, Sensitivity
from compress.data.dataset import Split
from compress.quantize.job import Job
from compress.quantize.layers.variants import ALL_INT8, Variants, all_int8

SAMPLES = 1000
ROUNDS = 20
SECONDS = 30.0
"""Upper bound for each group of layers timed together."""

Progress = Callable[[int, int], None]


def rank(
    job: Job,
    *,
    samples: int = SAMPLES,
    rounds: int = ROUNDS,
    seconds: float = SECONDS,
    seed: int = 0,
    quantized: Path | None = None,
    on_progress: Progress | None = None,
) -> Ranking:
    """Rank the layers of ``job``'s network on its validation split.

    ``samples``: at most so many of it, drawn with ``seed``. ``rounds``, ``seconds``: of the timing, for each group of
    layers. ``quantized``: the int8 file, where there is one already. ``on_progress(done, total)`` counts variants.
    Raises :class:`~compress.errors.QuantizationError` where the file's layers cannot be told apart or put into float.
    """
    split = draw(job.data.validation, samples, seed)
    with all_int8(job, split, quantized) as (variants, _):
        return _rank(variants, job, rounds, seconds, seed, on_progress)


def most_harmful(variants: Variants, on_layer: Callable[[], None]) -> list[str]:
    """The layers by the logits' error that each alone causes in int8, the largest first."""
    everything, errors = frozenset(variants.names), {}
    for name in variants.names:
        errors[name] = variants.error(everything - {name})
        on_layer()
    return sorted(errors, key=lambda name: -errors[name])


def _rank(
    variants: Variants, job: Job, rounds: int, seconds: float, seed: int, on_progress: Progress | None
) -> Ranking:
    names, everything = variants.names, frozenset(variants.names)
    timed = variants.can_be_timed
    done, total = 0, len(names) * (3 if timed else 2)

    def tell(count: int) -> None:
        nonlocal done
        done += count
        if on_progress:
            on_progress(done, total)

    times: dict[str, Interval] = {}
    whole, methods = None, []
    if timed:
        whole, methods = _whole(variants, rounds, seconds, seed)
        times, more = variants.gains(ALL_INT8, names, rounds=rounds, seconds=seconds, seed=seed, on_group=tell)
        methods += more
    found = []
    for layer in variants.layers:
        alone, without = everything - {layer.name}, frozenset({layer.name})
        loss, error = variants.drop(alone), variants.error(alone)
        tell(1)
        # The reference is the variant with the layer in float, so that what it wins counts as lost by int8.
        gain, remaining = variants.drop(ALL_INT8, reference=without), variants.error(without)
        tell(1)
        grows = variants.size(without) - variants.size(ALL_INT8)
        found.append(
            Sensitivity(
                name=layer.name,
                operator=layer.operator,
                weights=layer.weights,
                loss=loss,
                error=error,
                gain=gain,
                remaining=remaining,
                latency=times.get(layer.name),
                bytes=grows,
            )
        )
    return Ranking(
        runtime=job.runtime,
        scheme=job.scheme.name,
        layers=tuple(sorted(found, key=lambda each: -each.error)),
        loss=variants.drop(ALL_INT8),
        error=variants.error(ALL_INT8),
        latency=whole,
        sizes={"int8": variants.size(ALL_INT8), "float": variants.size(None)},
        method={"samples": len(variants.split), "split": "validation", "seed": seed, "latency": methods},
    )


def timing(seed: int = 0) -> dict[str, float]:
    """How a search times its variants: as :func:`rank` does unless told otherwise."""
    return {"rounds": ROUNDS, "seconds": SECONDS, "seed": seed}


def draw(split: Split, count: int, seed: int) -> Split:
    """``count`` samples of ``split`` without repetition, or all where there are no more."""
    if count >= len(split):
        return split
    index = np.sort(np.random.default_rng(seed).permutation(len(split))[:count])
    return split.take(index)


def _whole(variants: Variants, rounds: int, seconds: float, seed: int) -> tuple[Interval, list[dict]]:
    medians, method = variants.times({"float": None, "int8": ALL_INT8}, rounds=rounds, seconds=seconds, seed=seed)
    return stats.ratio_interval(medians["float"], medians["int8"]), [method]
