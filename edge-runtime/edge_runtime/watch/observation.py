"""What a call of ``observe`` hands over."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np


class Observation(NamedTuple):
    """``inputs`` (n, ...), ``outputs`` (n, C), perhaps ``embeddings`` (n, d), of samples among the ``samples`` that
    are numbered from ``first`` on. ``share``: of the samples handed over, those that are still here."""

    inputs: np.ndarray
    outputs: np.ndarray
    embeddings: np.ndarray | None
    first: int
    samples: int
    version: str
    share: float = 1.0


def together(observations: list[Observation], rows: int) -> Iterator[Observation]:
    """The same samples in fewer arrays: neighbours of one version and shape are joined. Of a call with more than
    ``rows`` samples that many are drawn, and it stays alone. To numpy one sample costs as much as thirty."""
    joined: list[Observation] = []
    for observation in observations:
        observation = _some(observation, rows)
        if joined and _alike(joined[0], observation) and sum(len(o.inputs) for o in joined) < rows:
            joined.append(observation)
            continue
        if joined:
            yield _one(joined)
        joined = [observation]
    if joined:
        yield _one(joined)


def _some(observation: Observation, rows: int) -> Observation:
    inputs, outputs, embeddings, *_ = observation
    if len(inputs) <= rows or len(inputs) != len(outputs):
        return observation
    chosen = sorted(random.sample(range(len(inputs)), rows))
    few = None if embeddings is None else embeddings[chosen]
    return observation._replace(
        inputs=inputs[chosen], outputs=outputs[chosen], embeddings=few, share=rows / len(inputs)
    )


def _alike(one: Observation, other: Observation) -> bool:
    if one.version != other.version or not one.share == other.share == 1:
        return False
    return all(
        (a is None and b is None)
        or (a is not None and b is not None and a.dtype == b.dtype and a.shape[1:] == b.shape[1:])
        for a, b in zip(one[:3], other[:3], strict=True)
    )


def _one(observations: list[Observation]) -> Observation:
    first, last = observations[0], observations[-1]
    if len(observations) == 1:
        return first
    arrays = [None if part[0] is None else np.concatenate(part) for part in list(zip(*observations, strict=True))[:3]]
    return Observation(*arrays, first.first, last.first + last.samples - first.first, first.version)
