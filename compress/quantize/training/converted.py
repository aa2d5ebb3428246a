"""From a PyTorch network with quantize / dequantize operators to the runtime's int8 file: the end of `qat` and `fx`.

1. PyTorch's exporter writes quantize / dequantize pairs as ONNX's; weights are rounded for good and stored as int8.
2. Biases become int32 in steps of (input scale x weight scale), as integer kernels add them, where the scheme says so.
3. The file has to choose the same classes as the network it came from: ONNX Runtime without optimisations computes
   what the file says, the network what training saw.
4. OpenVINO and TensorRT read the same graph; for OpenVINO it is converted to its own format.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import torch
from torch import nn

from compress.errors import QuantizationError
from compress.quantize.graph import qdq, ranges
from compress.quantize.graph.to_openvino import to_openvino
from compress.quantize.job import Job
from compress.targets.draft import draft
from compress.targets.onnx import trace
from compress.targets.onnx_graph import compact, tidy
from edge_runtime import open_session

AGREEMENT = 0.995
"""Least share of validation samples for which the file and the simulation choose the same class."""

INT32 = 2**31 - 1


def write(simulation: nn.Module, job: Job) -> list[str]:
    """Write ``job.out`` from a network with quantize / dequantize operators; returns a line for the report.

    Raises :class:`QuantizationError` when the file chooses other classes than ``simulation`` for more than 0.5 % of the
    validation split.
    """
    graph = trace(simulation, job.data.validation.inputs[:1])
    qdq.fold_weights(graph)
    _fold_clips(graph)
    tidy(graph)
    if job.scheme.quantize_bias:
        _quantize_biases(graph)
    compact(graph)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        ir.save(graph, path)
        onnx.checker.check_model(str(path), full_check=True)
        told = _compare(simulation, path, job.data.validation.inputs)
        if job.runtime == "openvino":
            to_openvino(path, job.out)
        else:
            with draft(job.out) as file:
                file.write_bytes(path.read_bytes())
    return [told]


def _fold_clips(model: ir.Model) -> None:
    """Weights of fewer bits than 8 come out of the exporter's quantizer through a Clip."""
    for node in list(model.graph):
        if node.op_type == "Clip" and all(value is not None and value.const_value is not None for value in node.inputs):
            clipped = np.clip(*map(qdq.stored, node.inputs))
            stored = qdq.constant(model.graph, f"{node.inputs[0].name}_clipped", clipped)
            node.outputs[0].replace_all_uses_with(stored)


def _quantize_biases(model: ir.Model) -> None:
    for layer in list(qdq.layers(model)):
        if layer.bias is None or layer.input_scale is None or qdq.stored(layer.bias).dtype == np.int32:
            continue
        bias = qdq.stored(layer.bias).astype(np.float64)
        scale = np.broadcast_to(layer.scale, bias.shape).astype(np.float64) * float(layer.input_scale)
        # A channel of (almost) zero weights has such small steps that its bias would not fit.
        steps = np.maximum(scale, np.abs(bias) / (INT32 // 2))
        if (steps > scale).any():
            _widen(layer, (steps / float(layer.input_scale)).astype(np.float32))
        name = layer.bias.name
        integers = qdq.constant(model.graph, f"{name}_quantized", np.rint(bias / steps).astype(np.int32))
        stored = qdq.constant(model.graph, f"{name}_scale", steps.astype(np.float32))
        dequantize = ir.node("DequantizeLinear", [integers, stored], {"axis": 0})
        dequantize.outputs[0].name = f"{name}_dequantized"
        model.graph.insert_before(layer.node, dequantize)
        layer.node.replace_input_with(2, dequantize.outputs[0])


def _widen(layer: qdq.Layer, scale: np.ndarray) -> None:
    """Round the weights anew in larger steps."""
    layer.store_weights(np.rint(layer.dequantized() / layer.along(scale)))
    dequantize = layer.node.inputs[1].producer()
    qdq.store(dequantize.inputs[1], scale)


@torch.inference_mode()
def _compare(simulation: nn.Module, path: Path, inputs: np.ndarray) -> str:
    agreed = 0
    with open_session(path, "onnxruntime", optimize=False) as session:
        for batch in ranges.batches(inputs):
            expected = simulation(torch.from_numpy(batch)).numpy()
            agreed += int((session.predict(batch).argmax(1) == expected.argmax(1)).sum())
    share = agreed / len(inputs)
    told = f"chooses the same class as the network in PyTorch for {share:.2%} of {len(inputs)} validation samples"
    if share < AGREEMENT:
        raise QuantizationError(f"the int8 file {told}; at least {AGREEMENT:.1%} is asked for")
    return f"the int8 file {told}"
