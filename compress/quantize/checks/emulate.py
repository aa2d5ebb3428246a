"""Predict on any workstation what a target's narrow sums do to a quantized ONNX file.

x86 without VNNI multiplies with VPMADDUBSW: two neighbouring products u8 x s8 are added in 16 bits and cut off at
-32768 and 32767; only then do sums become wide. ONNX Runtime without optimisations runs a QDQ file in float, where
nothing is cut off. ``emulate`` adds to every layer what the cut takes away, so that the same unoptimised session
answers as such a CPU does::

    a pair of weights (w0, w1) of one output:  p = qa0 * w0 + qa1 * w1    qa: u8, before the zero point
                                               excess = clip(p, -32768, 32767) - p
    layer + input scale * weight scale * (sum of its pairs' excess)  -> the layer's QuantizeLinear

Only pairs with 255 * (w0 + w1) outside of 16 bits, counting weights of one sign, can ever be cut: a few in a hundred of
8-bit weights, none of 7-bit ones.

Neighbours are what MLAS, ONNX Runtime's kernel library, multiplies side by side. Found by experiment and equal bit for
bit in every tried shape (tests/quantize/test_emulate.py repeats it where the CPU is such a one): convolutions run on
channels-last images, kernel position by kernel position and in it channel by channel, every group for itself, an odd
last one alone; matrix products in order of rows. s8 activations are shifted to u8 first. Depthwise convolutions and u8
weights are added in 32 bits.

References: Intel SDM volume 2, VPMADDUBSW; oneDNN "Nuances of int8 computations".
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx_ir as ir

from compress.compare.logits import logits
from compress.errors import QuantizationError
from compress.quantize.checks.coverage_onnx import int8_nodes
from compress.quantize.checks.coverage_reasons import INTEGER
from compress.quantize.checks.narrow_sums import Overflow, add_excess
from compress.quantize.graph import qdq
from compress.targets.draft import draft
from edge_runtime import open_session

BATCH = 16
"""Inputs at a time: every pair that can be cut is one more channel of its layer."""

OPSET = 15
"""Oldest whose Shape can leave an axis out."""


@dataclass(frozen=True)
class Prediction:
    """``accuracy_exact``: with wide sums; ``accuracy_emulated``: with the target's; ``agreement``: share of inputs with
    the same class; all fractions. ``relative_rms``: differences of logits against their standard deviation.
    ``overflows``: by layer, those where any pair can."""

    accumulate: str
    accuracy_exact: float
    accuracy_emulated: float
    agreement: float
    relative_rms: float
    inputs: int
    overflows: tuple[Overflow, ...]

    @property
    def drop(self) -> float:
        """Accuracy lost to narrow sums."""
        return self.accuracy_exact - self.accuracy_emulated

    @property
    def words(self) -> str:
        if self.accumulate == "int32":
            return "the target adds products in 32 bits: what the file says is what it computes"
        if not self.overflows:
            return "no pair of weights can overflow 16 bits here: what the file says is what the target computes"
        pairs, layers = sum(found.pairs for found in self.overflows), len(self.overflows)
        where = "1 layer" if layers == 1 else f"{layers} layers"
        return (
            f"on x86 without VNNI {pairs:,} pairs of weights in {where} can overflow 16 bits: accuracy is predicted to "
            f"be {self.accuracy_emulated:.2%} instead of {self.accuracy_exact:.2%}, with another class for "
            f"{1 - self.agreement:.2%} of {self.inputs:,} inputs"
        )


def predict(
    path: Path, inputs: np.ndarray, labels: np.ndarray, accumulate: Literal["int16-pairs", "int32"]
) -> Prediction:
    """Run the QDQ file as it says and as a target computes it. ``inputs``: raw, (N, ...); ``labels``: (N,) classes.

    Raises :class:`QuantizationError` as :func:`emulate` does.
    """
    with tempfile.TemporaryDirectory() as folder:
        emulated = Path(folder) / "emulated.onnx"
        narrow = tuple(_rewrite(Path(path), emulated, accumulate))
        exact = _logits(path, inputs)
        found = _logits(emulated, inputs) if narrow else exact
    spread = max(float(exact.std()), np.finfo(np.float32).tiny)
    return Prediction(
        accumulate=accumulate,
        accuracy_exact=float((exact.argmax(1) == labels).mean()),
        accuracy_emulated=float((found.argmax(1) == labels).mean()),
        agreement=float((exact.argmax(1) == found.argmax(1)).mean()),
        relative_rms=float(np.sqrt(np.mean(np.square(exact - found, dtype=np.float64)))) / spread,
        inputs=len(inputs),
        overflows=narrow,
    )


def emulate(path: Path, out: Path, accumulate: Literal["int16-pairs", "int32"]) -> list[str]:
    """Write to ``out`` a file that an unoptimised ONNX Runtime session runs as the target runs ``path``.

    Returns one line for every layer whose sums can be cut off. Raises :class:`QuantizationError` for a file without
    QDQ layers, with kernels that already are integers, or of an opset before 15.
    """
    return [found.words for found in _rewrite(Path(path), Path(out), accumulate)]


def overflows(path: Path) -> tuple[Overflow, ...]:
    """The layers whose sums can be cut off where products are added in 16 bits. Raises as :func:`emulate` does."""
    with tempfile.TemporaryDirectory() as folder:
        return tuple(_rewrite(Path(path), Path(folder) / "emulated.onnx", "int16-pairs"))


def _rewrite(path: Path, out: Path, accumulate: str) -> list[Overflow]:
    model = ir.load(path)
    # Which layers have int8 kernels is decided by the graph, not by the CPU; a float one cannot overflow.
    kernels = int8_nodes(path)
    integer = next((node.op_type for node in model.graph if node.op_type in INTEGER), None)
    if integer:
        raise QuantizationError(
            f"{path.name}: '{integer}' is integer arithmetic already, which runs as this machine runs it; "
            "only files of QuantizeLinear / DequantizeLinear pairs can be emulated"
        )
    integer_nodes = {id(node) for index, node in enumerate(model.graph) if index in kernels}
    qdq.fold_weights(model)
    layers = [layer for layer in qdq.layers(model) if id(layer.node) in integer_nodes]
    if not layers:
        raise QuantizationError(f"{path.name}: no convolution or matrix product of this file runs in int8")
    known = {id(layer.node) for layer in layers}
    unread = [n for n in model.graph if id(n) in integer_nodes - known and n.inputs[1].const_value is not None]
    if unread:
        raise QuantizationError(
            f"{path.name}: the weights of '{unread[0].name}' are stored in float and become integers when the file is "
            "loaded; store them as int8"
        )
    if model.opset_imports.get("", 0) < OPSET:
        raise QuantizationError(f"{path.name}: emulation needs opset {OPSET} or newer; export it again with one")
    found = [add_excess(model.graph, layer) for layer in layers if accumulate == "int16-pairs"]
    with draft(out) as file:
        ir.save(model, file)
    return [overflow for overflow in found if overflow is not None]


def _logits(path: Path, inputs: np.ndarray) -> np.ndarray:
    with open_session(path, "onnxruntime", optimize=False) as session:
        return logits(session, inputs, most=BATCH)
