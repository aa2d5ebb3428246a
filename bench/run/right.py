"""Which test samples a model got right, small enough to lie in results.json: one bit a sample, in the data's order.

With it two runs on the same samples can be compared in pairs, long after and far from where their logits lie.
"""

from __future__ import annotations

import base64
import binascii

import numpy as np

from compress.bench.figures import Accuracy
from compress.bench.run.results import ResultsError


def pack(right: np.ndarray) -> str:
    """(N,) bool as base64 of ``numpy.packbits``: the first sample is the highest bit of the first byte."""
    return base64.b64encode(np.packbits(np.asarray(right, dtype=bool)).tobytes()).decode("ascii")


def unpack(text: str, accuracy: Accuracy) -> np.ndarray:
    """(n,) bool. Raises :class:`ResultsError` where it does not fit the ``accuracy`` that was counted from it."""
    try:
        packed = np.frombuffer(base64.b64decode(text, validate=True), dtype=np.uint8)
    except (binascii.Error, ValueError) as error:
        raise ResultsError(f"`right` is not base64: {error}; run the recipe again") from error
    right = np.unpackbits(packed)[: accuracy.n].astype(bool)
    if packed.size != -(-accuracy.n // 8) or int(right.sum()) != accuracy.correct:
        raise ResultsError(
            f"`right` tells of {int(right.sum())} right answers in {packed.size} bytes, and `accuracy` of "
            f"{accuracy.correct} among {accuracy.n} samples: the file was changed; run the recipe again"
        )
    return right
