"""The answers of a session to more samples than it should take at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edge_runtime import Session

BATCH = 200
"""Samples in one call at most; no gain was seen beyond."""

VALUES = 1 << 20
"""Input values in one call at most: a network's activations may be a hundred times as large as its input."""


def _silent(done: int, total: int) -> None:
    """Tells nobody."""


def logits(
    session: Session, inputs: np.ndarray, on_batch: Callable[[int, int], None] = _silent, *, most: int = BATCH
) -> np.ndarray:
    """What ``session`` answers to ``inputs`` (N, ...): (N, classes), computed at most ``most`` samples at a time.

    ``on_batch(done, total)`` counts samples.
    """
    batch = min(most, max(1, VALUES // max(1, inputs[0].size)))
    parts = []
    for start in range(0, len(inputs), batch):
        parts.append(session.predict(np.ascontiguousarray(inputs[start : start + batch])))
        on_batch(min(start + batch, len(inputs)), len(inputs))
    return np.concatenate(parts)
