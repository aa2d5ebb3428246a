"""Strongly typed QDQ ONNX for TensorRT: what the workstation ships, and whether TensorRT's parser takes it.

An engine is built on the device itself, for its GPU and its TensorRT (``edge_runtime.sessions.tensorrt``). What is
exported is therefore the ONNX file, in which Q/DQ pairs say where integers are: s8 with zero points of 0, biases in
float. :func:`fusible` removes pairs in the way of TensorRT's fusions; :func:`check` asks TensorRT for RTX, which parses
and builds without a GPU, for GPUs of compute capability 7.5 and 8.0 to 12.1 except 8.7 (Orin) and 9.0 (Hopper). It has
the parser of TensorRT proper, but other kernels: a file that it takes may still be refused elsewhere, or run slower.

Source: NVIDIA TensorRT documentation, "Working with Quantized Types", Q/DQ placement recommendations.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from compress import isolated

ENVIRONMENT = "tensorrt"
UNCLIPPED = "Relu"
"""Maps 0 to 0 and changes no positive number, so that it can be done before or after rounding."""


@dataclass(frozen=True)
class Check:
    """``version``: of TensorRT for RTX, None when it is not installed and nothing was checked. ``problems``: why the
    file was refused. ``size``: of the engine that was built, in bytes."""

    version: str | None
    problems: tuple[str, ...] = ()
    size: int | None = None

    @property
    def accepted(self) -> bool | None:
        """None: not checked."""
        return None if self.version is None else self.size is not None

    @property
    def words(self) -> str:
        if self.version is None:
            return "not checked with TensorRT's parser: compress doctor --install tensorrt"
        if self.size is None:
            return f"TensorRT for RTX {self.version} refuses it: {'; '.join(self.problems) or 'no reason given'}"
        return f"TensorRT for RTX {self.version} parses it and builds an engine of {self.size / 1e3:.0f} kB"


def check(path: Path | str) -> Check:
    """Parse the ONNX file strongly typed and build an engine of it, where the environment `tensorrt` is installed.

    Raises :class:`compress.errors.ToolError` when the check itself fails.
    """
    if not isolated.installed(ENVIRONMENT):
        return Check(None)
    # The first line that is JSON: TensorRT may print lines of its own.
    printed = isolated.run(ENVIRONMENT, "tensorrt_check.py", Path(path).absolute())
    found = next(json.loads(line) for line in printed.splitlines() if line.startswith("{"))
    return Check(found["version"], tuple(found["problems"]), found["bytes"])


def fusible(model: ir.Model) -> int:
    """Remove the pair between a layer and its ReLU where the same pair follows; returns how many were removed.

    Such a pair keeps TensorRT from computing both in one kernel. Rounding to a scale with zero point 0 and then cutting
    off below 0 is the same as the other way round, so nothing changes in the answers.
    """
    removed = 0
    for node in list(model.graph):
        if node.op_type != UNCLIPPED:
            continue
        before = _pair(node.inputs[0])
        after = [use.node for use in node.outputs[0].uses()]
        if before is None or not after or any(not _like(follower, before[0]) for follower in after):
            continue
        quantize, dequantize = before
        node.replace_input_with(0, quantize.inputs[0])
        if not dequantize.outputs[0].uses() and not dequantize.outputs[0].is_graph_output():
            model.graph.remove(dequantize, safe=True)
            if not quantize.outputs[0].uses():
                model.graph.remove(quantize, safe=True)
        removed += 1
    return removed


def _pair(value: ir.Value | None) -> tuple[ir.Node, ir.Node] | None:
    """The quantizer and dequantizer that ``value`` comes from."""
    dequantize = value.producer() if value is not None else None
    if dequantize is None or dequantize.op_type != "DequantizeLinear":
        return None
    quantize = dequantize.inputs[0].producer()
    if quantize is None or quantize.op_type != "QuantizeLinear" or not _like(dequantize, quantize):
        return None
    return quantize, dequantize


def _like(node: ir.Node, quantize: ir.Node) -> bool:
    """Whether ``node`` is a (de)quantizer with the scale of ``quantize`` and a zero point of 0."""
    if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
        return False
    (scale, zero), (other, other_zero) = (_parameters(one) for one in (node, quantize))
    return scale is not None and scale == other and zero == other_zero == [0.0]


def _parameters(node: ir.Node) -> tuple[list[float] | None, list[float] | None]:
    constants = [value.const_value if value is not None else None for value in [*node.inputs[1:3], None][:2]]
    scale, zero = (None if tensor is None else tensor.numpy().astype(float).ravel().tolist() for tensor in constants)
    return scale, [0.0] if len(node.inputs) < 3 else zero
