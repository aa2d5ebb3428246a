"""Whether a way computes the network at all: its answers beside those of the first way, which is eager float32.

Accuracy is another matter: it is measured on data, with the weights of a trained network.
"""

from __future__ import annotations

from torch import Tensor

from .refused import Refused

TOLERANCE = {"fp32": 1e-3, "tf32": 1e-2, "fp16": 1e-2, "bf16": 5e-2}
"""Largest difference of an answer from float32's, by the largest answer: what rounding to that format may do in a deep
network. It tells a format from a mistake, and says nothing of accuracy."""


def compare(answer: Tensor, expected: Tensor, precision: str) -> tuple[float, float]:
    """Of (N, classes) answers the largest difference, by the largest answer, and the share of samples with the same
    class. Raises Refused for a difference that no rounding makes."""
    difference = float((answer - expected).abs().max() / expected.abs().max())
    if not difference <= TOLERANCE[precision]:  # so that NaN is refused too
        raise Refused("wrong", f"its answers differ from the first way's by {difference:.2g} of the largest one")
    return difference, float((answer.argmax(1) == expected.argmax(1)).float().mean())
