"""The answers of a session to more samples than it should take at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edge_runtime import Session


def _silent(done: int, total: int) -> None:
    """Tells nobody."""


def logits(
    session: Session, inputs: np.ndarray, batch: int, on_batch: Callable[[int, int], None] = _silent
) -> np.ndarray:
    """What ``session`` answers to ``inputs`` (N, ...): (N, classes), computed ``batch`` samples at a time.

    ``on_batch(done, total)`` counts samples.
    """
    parts = []
    for start in range(0, len(inputs), batch):
        parts.append(session.predict(np.ascontiguousarray(inputs[start : start + batch])))
        on_batch(min(start + batch, len(inputs)), len(inputs))
    return np.concatenate(parts)
