"""Does this machine compute what the quantized file says?

ONNX Runtime without optimisations runs a QDQ file literally: it dequantizes, computes in float, and quantizes again, so
sums cannot overflow. The default session runs int8 kernels. Where these agree up to rounding, the kernels are exact;
where they do not, sums saturate, and the model answers differently here than the file says (and than on hardware with
wider sums).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_runtime import Session, open_session

LIMIT = 2e-3
"""Largest root mean square difference, relative to the spread of the logits, that rounding explains. Rounding of a last
bit gave 0.00005 to 0.0003 on networks of 4 to 8 layers, saturation 0.02 to 0.3."""

BATCH = 64


@dataclass(frozen=True)
class Saturation:
    """``max_abs_diff``: of a logit; ``relative_rms``: differences against the logits' standard deviation;
    ``argmax_agreement``: share of inputs with the same class, 0 to 1; ``inputs``: how many were compared."""

    max_abs_diff: float
    relative_rms: float
    argmax_agreement: float
    inputs: int
    saturates: bool

    @property
    def words(self) -> str:
        found = (
            f"int8 kernels and float simulation differ by {self.relative_rms:.2%} of the logits' spread and choose the "
            f"same class for {self.argmax_agreement:.1%} of {self.inputs} inputs"
        )
        if self.saturates:
            return f"the sums of this file saturate on this machine: {found}; 7-bit weights would not"
        return f"no saturation: {found}"


def detect(model_path: Path, inputs: np.ndarray) -> Saturation:
    """Compare the default session of the ONNX file with one that optimises nothing. ``inputs``: raw, (N, ...)."""
    with open_session(model_path, "onnxruntime") as session:
        kernels = _logits(session, inputs)
    with open_session(model_path, "onnxruntime", optimize=False) as session:
        simulated = _logits(session, inputs)
    differences = np.abs(kernels - simulated)
    spread = max(float(simulated.std()), np.finfo(np.float32).tiny)
    relative = float(np.sqrt(np.mean(np.square(differences, dtype=np.float64)))) / spread
    return Saturation(
        max_abs_diff=float(differences.max()),
        relative_rms=relative,
        argmax_agreement=float((kernels.argmax(1) == simulated.argmax(1)).mean()),
        inputs=len(inputs),
        saturates=relative > LIMIT,
    )


def _logits(session: Session, inputs: np.ndarray) -> np.ndarray:
    batches = range(0, len(inputs), BATCH)
    return np.concatenate([session.predict(np.ascontiguousarray(inputs[start : start + BATCH])) for start in batches])
