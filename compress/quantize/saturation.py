"""Do the int8 kernels of this machine overflow?

A QDQ file computes its float simulation when ONNX Runtime does not optimise it, and runs int8 kernels when it does. Both round
alike, so a real difference is a sum that did not fit: on x86 without VNNI two 8-bit products are added in 16 bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compress.compare.agreement import agreement
from edge_runtime import open_session

# Rounding at other places moves a logit by a few quantization steps; saturation moves it by much more. Measured on this
# project's networks: kernels that cannot saturate agree on 99.5 % of the classes and more.
LEAST_AGREEMENT = 0.99


@dataclass(frozen=True)
class Saturation:
    """``argmax_agreement`` and ``max_abs_diff`` of the logits, int8 kernels against their simulation."""

    argmax_agreement: float
    max_abs_diff: float
    saturates: bool

    @property
    def words(self) -> str:
        apart = f"{self.argmax_agreement:.1%} of classes agree, logits differ by up to {self.max_abs_diff:.2g}"
        if self.saturates:
            return f"int8 kernels of this machine saturate: against the simulation {apart}; take 7-bit weights"
        return f"int8 kernels against their simulation: {apart}"


def detect(path: Path, inputs: np.ndarray) -> Saturation:
    """Compare int8 kernels with the simulation on raw ``inputs`` (N, C, H, W)."""
    with open_session(path) as kernels, open_session(path, optimize=False) as simulation:
        agreed, apart = agreement(kernels.predict(inputs), simulation.predict(inputs))
    return Saturation(agreed, apart, agreed < LEAST_AGREEMENT)
