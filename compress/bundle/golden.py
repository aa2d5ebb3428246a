"""Inputs with the answers that a device must give to them, and how far it may be off.

The answers are those of the very file in the bundle, on its own runtime, one sample a call as a device asks. A device
computes them with other kernels, so equality would be too much: floats are added in another order, and an int8
network rounds at every layer, where one step more or less is passed on. Both limits come from one expected
difference ``e``: a share of the largest answer by number format (``SHARE``), or twice what this file's own integer
kernels and their simulation in floats differ by here, where that is more.

- ``absolute`` is 4 e: a wrong kernel or a damaged file misses it by far, another instruction set does not.
- ``argmax`` is the share of samples whose first and second answer are more than 2 e apart, so that no expected
  difference can swap them. It is what finds sums that saturate: logits stay plausible and classes change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compress.data.dataset import Split, stratified
from compress.errors import BundlingError
from edge_runtime import Session, open_session

SAMPLES = 32
SHARE = {"fp32": 2.5e-4, "fp16": 5e-3, "bf16": 2e-2}
"""Expected difference as a share of the largest answer. fp16 keeps 11 bits (5e-4) and bf16 8 (4e-3) at every layer."""
INTEGER = 2.5e-2
"""The same where weights or activations are integers: about six steps of 255."""
STAND_IN = {"tensorrt": "onnxruntime"}
"""Runtimes that are not at hand where bundles are made: another one answers for them, from the same file."""


@dataclass(frozen=True)
class Golden:
    """``inputs`` (N, ...) raw; ``outputs`` (N, classes) float; ``absolute``, ``argmax``: as a manifest has them."""

    inputs: np.ndarray
    outputs: np.ndarray
    absolute: float
    argmax: float
    reason: str


def opened(model: Path, runtime: str, *, optimize: bool = True) -> Session:
    """The model as its device will run it, or as nearly as this machine can."""
    return open_session(model, STAND_IN.get(runtime, runtime), 1, optimize=optimize)


def golden(model: Path, runtime: str, precision: str, split: Split) -> Golden:
    """Samples of ``split`` (32, every class in proportion, always the same ones) and their answers."""
    index = stratified(split.labels, min(SAMPLES, len(split)), seed=0)
    inputs = np.ascontiguousarray(split.inputs[index])
    with opened(model, runtime) as session:
        outputs = answers(session.predict, inputs)
    if outputs.ndim != 2 or not np.isfinite(outputs).all():
        raise BundlingError(f"{model}: answers of shape {outputs.shape}, or not finite; a bundle needs (N, classes)")
    expected, why = _expected(model, runtime, precision, inputs, outputs)
    ordered = np.sort(outputs, axis=1)
    apart = ordered[:, -1] - ordered[:, -2] if outputs.shape[1] > 1 else np.full(len(outputs), np.inf)
    decided = float((apart > 2 * expected).mean())
    by = STAND_IN.get(runtime, runtime)
    reason = (
        f"{len(inputs)} validation samples answered by {by}, one a call; {why}; outputs may be off by 4 times "
        f"that, and {decided:.0%} of the samples are decided by more than 2 times that"
    )
    return Golden(inputs, outputs, _rounded(4 * expected), decided, reason)


def answers(predict: Callable[[np.ndarray], np.ndarray], inputs: np.ndarray) -> np.ndarray:
    """One sample a call: a network with dynamic ranges answers a batch otherwise."""
    return np.concatenate([predict(inputs[index : index + 1]) for index in range(len(inputs))])


def _expected(model: Path, runtime: str, precision: str, inputs: np.ndarray, outputs: np.ndarray) -> tuple[float, str]:
    largest = float(np.abs(outputs).max())
    # A GPU computes a float32 network in TF32, which keeps as many bits as float16.
    format_ = "fp16" if (runtime, precision) == ("tensorrt", "fp32") else precision
    expected = max(SHARE.get(format_, INTEGER) * largest, 1e-6)
    why = f"other kernels are expected to differ by {SHARE.get(format_, INTEGER):.3%} of the largest answer"
    if STAND_IN.get(runtime, runtime) == "onnxruntime":
        with opened(model, runtime, optimize=False) as session:
            found = 2 * float(np.abs(answers(session.predict, inputs) - outputs).max())
        if found > expected:
            return found, f"other kernels are expected to differ by twice what simulated arithmetic does, {found:.3g}"
    return expected, f"{why}, {expected:.3g}"


def _rounded(value: float) -> float:
    """Two digits, upwards never less than asked."""
    scale = 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(f"{np.ceil(value / scale) * scale:.3g}")
