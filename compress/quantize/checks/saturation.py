"""Does this machine compute what the quantized file says?

A quantized file can be run literally: values are rounded to their 8 bits, but computed in float, so that sums cannot
overflow. ONNX Runtime does so when it optimises nothing, OpenVINO when a file has more than 256 levels
(``openvino_literal.py``). The default session runs int8 kernels. Where these agree up to rounding, the kernels are
exact; where they do not, sums saturate, and the model answers differently here than the file says (and than on hardware
with wider sums).

OpenVINO rounds once where a file says twice (before and after a residual addition), which alone changes logits by one
or two percent of their spread. How much that is in a given file is measured, not guessed: on the same file with halved
weights, whose sums cannot overflow.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compress.compare.logits import logits
from compress.errors import QuantizationError
from compress.quantize.checks.emulate import overflows
from compress.quantize.checks.openvino_literal import write_halved, write_literal
from edge_runtime import open_session

LIMIT = 2e-3
"""Largest root mean square difference, relative to the spread of the logits, that rounding explains. Rounding of a last
bit gave 0.00005 to 0.002 on networks of 4 to 14 layers, saturation 0.02 to 0.3. Deeper ones may differ by more, and are
cleared by their weights where no pair of these can overflow."""


@dataclass(frozen=True)
class Saturation:
    """``max_abs_diff``: of a logit; ``relative_rms``: differences against the logits' standard deviation;
    ``argmax_agreement``: share of inputs with the same class, 0 to 1; ``inputs``: how many were compared; ``limit``:
    the relative_rms that rounding explains, None where no pair of weights can overflow: then it explains all."""

    max_abs_diff: float
    relative_rms: float
    argmax_agreement: float
    inputs: int
    saturates: bool
    limit: float | None = LIMIT

    @property
    def words(self) -> str:
        found = (
            f"int8 kernels and float simulation differ by {self.relative_rms:.2%} of the logits' spread and choose the "
            f"same class for {self.argmax_agreement:.1%} of {self.inputs} inputs"
        )
        if self.saturates:
            return f"the sums of this file saturate on this machine: {found}; 7-bit weights would not"
        why = "no pair of weights can overflow" if self.limit is None else f"rounding explains {self.limit:.2%}"
        return f"no saturation: {found}; {why}"


def detect(model_path: Path, inputs: np.ndarray) -> Saturation:
    """Compare the default session of an ONNX file or an OpenVINO IR with a literal one. ``inputs``: raw, (N, ...)."""
    model_path = Path(model_path)
    if model_path.suffix != ".xml":
        kernels, simulated = _run(model_path, inputs), _run(model_path, inputs, optimize=False)
        return _compare(kernels, simulated, LIMIT if _can_overflow(model_path) else None)
    with tempfile.TemporaryDirectory() as folder:
        halved = Path(folder) / "halved.xml"
        write_halved(model_path, halved)
        harmless = _compare(_run(halved, inputs), _literal(halved, inputs), LIMIT).relative_rms
        return _compare(_run(model_path, inputs), _literal(model_path, inputs), LIMIT + 2 * harmless)


def _can_overflow(path: Path) -> bool:
    try:
        return bool(overflows(path))
    except QuantizationError:  # a file without layers to look into
        return True


def _compare(kernels: np.ndarray, simulated: np.ndarray, limit: float | None) -> Saturation:
    differences = np.abs(kernels - simulated)
    spread = max(float(simulated.std()), np.finfo(np.float32).tiny)
    relative = float(np.sqrt(np.mean(np.square(differences, dtype=np.float64)))) / spread
    return Saturation(
        max_abs_diff=float(differences.max()),
        relative_rms=relative,
        argmax_agreement=float((kernels.argmax(1) == simulated.argmax(1)).mean()),
        inputs=len(simulated),
        saturates=limit is not None and relative > limit,
        limit=limit,
    )


def _literal(path: Path, inputs: np.ndarray) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        literal = Path(folder) / "literal.xml"
        write_literal(path, literal)
        return _run(literal, inputs)


def _run(path: Path, inputs: np.ndarray, **options: bool) -> np.ndarray:
    with open_session(path, **options) as session:
        return logits(session, inputs)
