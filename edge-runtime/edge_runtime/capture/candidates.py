"""Of what a server handed over, the samples that the policy's draw fell on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from edge_runtime.capture.items import Prediction
from edge_runtime.capture.policy import Policy
from edge_runtime.watch import outputs as reading
from edge_runtime.watch.observation import Observation
from edge_runtime.watch.reference import Reference


@dataclass(frozen=True)
class Candidate:
    """``own``: the probability by the policy, which the uniform number ``drawn`` is below; a quota may lower it yet.
    ``considered``: the probability with which the sample came this far, whatever it looks like."""

    sample: np.ndarray
    drawn: float
    own: float
    considered: float
    reasons: tuple[str, ...]
    prediction: Prediction | None


def candidates(
    seen: Observation,
    reference: Reference | None,
    labels: tuple[str, ...],
    policy: Policy,
    chance: float,
    draw: Callable[[], float],
) -> Iterator[Candidate]:
    """``seen`` must fit the ``reference``. ``chance``: with which its calls were not dropped on the way."""
    inputs, outputs, embeddings = seen[:3]
    read, distances = None, np.zeros(len(inputs))
    if outputs.ndim == 2 and outputs.shape[1] > 1 and outputs.dtype.kind == "f":
        read = reading.read(outputs, reference is not None and reference.layout.probabilities)
    if reference is not None:
        distances = reference.distances(inputs, outputs, embeddings)
    chances, reasons = policy.probabilities(read, distances, policy.thresholds(reference))
    for row, own in enumerate(chances.tolist()):
        drawn = draw()
        if drawn < own:
            prediction = None if read is None else _prediction(read, row, labels)
            yield Candidate(inputs[row], drawn, own, chance * seen.share, tuple(reasons[row]), prediction)


def _prediction(read: reading.Reading, row: int, labels: tuple[str, ...]) -> Prediction:
    best = int(read.index[row])
    numbers = (round(float(values[row]), 6) for values in (read.confidence, read.entropy, read.margin))
    return Prediction(best, labels[best] if best < len(labels) else None, *numbers)
