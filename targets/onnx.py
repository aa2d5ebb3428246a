"""PyTorch to ONNX: one input ``input`` of raw values, one output ``logits``, any batch size, PyTorch's own answers.

1. PyTorch's exporter (``torch.export`` based) traces the model; its optimizer folds constants and batch normalisation.
2. ``tidy`` removes what a free batch axis leaves behind and spells pooling as engines know it.
3. The file is checked, run by ONNX Runtime, and compared with PyTorch before it takes its place.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnx_ir as ir
import torch
from torch import nn
from torch.onnx.errors import OnnxExporterError

from compress import quiet
from compress.errors import ExportError
from compress.targets.draft import draft
from compress.targets.narrow import TOLERANCE, narrowed
from compress.targets.onnx_graph import tidy
from edge_runtime import SessionError, open_session

OPSET = 20
"""ONNX operator set: the newest that PyTorch's exporter writes without converting, and read by all our runtimes."""


def export(
    model: nn.Module,
    example: np.ndarray,
    path: Path | str,
    *,
    opset: int = OPSET,
    precision: Literal["fp32", "fp16"] = "fp32",
) -> None:
    """Write ``model`` to ``path`` as ONNX.

    ``example``: raw inputs (1 or more, C, H, W); dtype and sizes become the graph's, the batch axis stays free.
    ``precision``: what the graph computes in behind the normalisation.
    Raises :class:`ExportError` when the model cannot be traced or the file computes something else.
    """
    # A copy in the default memory layout: the channels-last one of training would be traced as index arithmetic.
    model = copy.deepcopy(model).to(memory_format=torch.contiguous_format).eval()
    graph = trace(narrowed(model, precision), example, opset)
    tidy(graph)
    with draft(Path(path)) as file:
        ir.save(graph, file)
        onnx.checker.check_model(str(file), full_check=True)
        compare(model, example, file, "onnxruntime", tolerance=TOLERANCE[precision])


def trace(model: nn.Module, example: np.ndarray, opset: int = OPSET) -> ir.Model:
    """The graph as PyTorch's exporter writes it, not yet tidied. Raises :class:`ExportError`."""
    # A batch of one would be taken for a constant.
    batch = torch.from_numpy(np.ascontiguousarray(np.resize(example, (2, *example.shape[1:]))))
    try:
        with quiet.pytorch(), torch.inference_mode():
            program = torch.onnx.export(
                model,
                (batch,),
                dynamo=True,
                opset_version=opset,
                input_names=["input"],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                verbose=False,
            )
    except OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise ExportError(
            f"{type(model).__name__} cannot be exported to ONNX: {reason}; forward() may not depend on values or "
            "on the batch size"
        ) from error
    return program.model


def compare(
    model: nn.Module, example: np.ndarray, file: Path, runtime: str, *, tolerance: float = TOLERANCE["fp32"]
) -> None:
    """Run both on the example and on random raw values. Raises :class:`ExportError` unless their answers agree, to
    ``tolerance`` times the largest logit."""
    rng = np.random.default_rng(0)
    shape = (7, *example.shape[1:])
    noise = rng.integers(0, 256, shape) if example.dtype == np.uint8 else rng.standard_normal(shape)
    inputs = np.concatenate([example, noise.astype(example.dtype)])
    try:
        with torch.inference_mode():
            expected = model(torch.from_numpy(inputs)).numpy()
    except RuntimeError as error:
        raise ExportError(
            f"{type(model).__name__} does not run on a batch of {len(inputs)}: {error}; its forward() has to take any"
        ) from error
    try:
        with open_session(file, runtime) as session:
            found = session.predict(inputs)
    except SessionError as error:
        raise ExportError(f"{file.name}: {runtime} does not run the exported file: {error}") from error
    if found.shape != expected.shape:
        raise ExportError(f"{file.name}: the exported file gives {found.shape}, PyTorch {expected.shape}")
    difference = float(np.abs(found - expected).max())
    allowed = tolerance * max(1.0, float(np.abs(expected).max()))
    # Written so that NaN fails too.
    if not difference <= allowed:
        raise ExportError(
            f"{file.name}: the exported file is not the model: its logits differ from PyTorch's by up to "
            f"{difference:.2g} ({allowed:.2g} allowed)"
        )
    ahead = np.sort(expected, axis=1)
    clear = ahead[:, -1] - ahead[:, -2] > 2 * allowed if expected.shape[1] > 1 else np.zeros(len(expected), bool)
    if (found.argmax(1) != expected.argmax(1))[clear].any():
        raise ExportError(f"{file.name}: the exported file chooses other classes than PyTorch")
