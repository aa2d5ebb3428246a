"""How far two runs of what should be one model are apart."""

from __future__ import annotations

import numpy as np


def agreement(logits: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """(share of equal argmax, largest absolute difference) of two (N, classes) arrays of logits."""
    return float((logits.argmax(1) == reference.argmax(1)).mean()), float(np.abs(logits - reference).max())
