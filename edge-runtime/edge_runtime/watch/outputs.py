"""What a classifier's outputs say of one sample: the class, how sure, and how the probability is spread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_runtime.watch.features import finite


@dataclass(frozen=True)
class Reading:
    """Of N samples: ``probabilities`` (N, C), ``index`` (N,) of the likeliest class, ``confidence`` (N,) its
    probability, ``entropy`` (N,) in nats, ``margin`` (N,) between the two likeliest; all 0 to 1 but the entropy."""

    probabilities: np.ndarray
    index: np.ndarray
    confidence: np.ndarray
    entropy: np.ndarray
    margin: np.ndarray


def are_probabilities(outputs: np.ndarray) -> bool:
    """Whether every row is non-negative and sums to one: then softmax has been applied already."""
    outputs = finite(outputs.astype(np.float64))
    return bool((outputs >= 0).all() and np.allclose(outputs.sum(axis=1), 1, atol=1e-3))


def read(outputs: np.ndarray, probabilities: bool = False) -> Reading:
    """Outputs (N, C), C >= 2: logits, or with ``probabilities`` what softmax made of them."""
    values = finite(outputs.astype(np.float64))
    shares = np.clip(values, 0, 1) if probabilities else np.exp(values - values.max(axis=1, keepdims=True))
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1e-12)
    top = np.partition(shares, -2, axis=1)[:, -2:]
    entropy = -(shares * np.log(np.maximum(shares, 1e-12))).sum(axis=1)
    return Reading(shares, shares.argmax(axis=1), top[:, 1], entropy, top[:, 1] - top[:, 0])
