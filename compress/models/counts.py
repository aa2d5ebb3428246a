"""Parameters and multiply-accumulates (MACs) of a network, counted alike in PyTorch and in ONNX.

Counted are the products with weights, for one sample: convolutions (also transposed) and fully connected layers. Not
counted: biases, normalisation, activations, pooling, and products of two activations (attention scores). One MAC is two
FLOPs. A count is not a time: measure that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import NodeProto, TensorProto
from torch import Tensor, nn

from compress.errors import ModelError

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True)
class Counts:
    """``params``: trained numbers; ``macs``: multiply-accumulates of one sample."""

    params: int
    macs: int


@torch.inference_mode()
def count(model: nn.Module, example: Tensor) -> Counts:
    """Count one forward pass of ``example`` (N, ...) through ``model``; layers called twice count twice.

    Only layers that are modules are seen, not calls of ``torch.nn.functional``.
    """
    macs = 0

    def add(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal macs
        if isinstance(layer, nn.Linear):
            macs += output.numel() * layer.in_features
        elif isinstance(layer, _CONVOLUTIONS):
            macs += output.numel() * layer.weight[0].numel()
        else:
            macs += inputs[0].numel() * layer.weight[0].numel()

    counted = (nn.Linear, *_CONVOLUTIONS, *_TRANSPOSED)
    hooks = [m.register_forward_hook(add) for m in model.modules() if isinstance(m, counted)]
    training = model.training
    try:
        model.eval()(example)
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return Counts(sum(p.numel() for p in model.parameters()), macs // len(example))


def count_onnx(path: Path) -> Counts:
    """Count an ONNX file, float or quantized (QDQ or QLinear operators), from its shapes; nothing is run.

    Free axes count as 1. ``params`` are the elements of floating point and of quantized tensors, without scales and
    zero points. Raises :class:`ModelError` for a file that is no ONNX, or whose shapes cannot be inferred.
    """
    found = onnx_products(path)
    macs = sum(product.macs for product in found.products if product.weighted)
    return Counts(_params(found.weights, list(found.graph.node)), macs // found.samples)


@dataclass(frozen=True)
class OnnxProduct:
    """An operator that multiplies matrices: names of its two factors, of which ``w`` is constant when ``weighted``."""

    node: NodeProto
    a: str
    w: str
    weighted: bool
    macs: int


@dataclass(frozen=True)
class OnnxProducts:
    """All of a graph, with the shapes that are known; ``samples``: the first axis of its last input."""

    graph: onnx.GraphProto
    weights: dict[str, TensorProto]
    shapes: dict[str, tuple[int, ...]]
    products: list[OnnxProduct]
    samples: int


def onnx_products(path: Path, inputs: Mapping[str, Sequence[int]] | None = None) -> OnnxProducts:
    """Every convolution and matrix product of an ONNX file, of weights or of two activations.

    ``inputs``: shapes by name, or in order where no name is the file's: runtimes call some inputs otherwise. Other free
    axes count as 1. Raises :class:`ModelError` as :func:`count_onnx` does.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except (OSError, DecodeError) as error:
        raise ModelError(f"{path}: not a readable ONNX file ({error})") from error
    samples = _fix_free_axes(model, inputs or {})
    try:
        graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except (onnx.shape_inference.InferenceError, RuntimeError) as error:
        raise ModelError(f"{path}: its shapes cannot be inferred ({error})") from error
    weights = {tensor.name: tensor for tensor in graph.initializer}
    constants = [node for node in graph.node if node.op_type == "Constant"]
    weights |= {node.output[0]: a.t for node in constants for a in node.attribute if a.name == "value"}
    shapes = {name: tuple(tensor.dims) for name, tensor in weights.items()}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if all(d.HasField("dim_value") for d in dims):
            shapes[value.name] = tuple(d.dim_value for d in dims)
    constant, products = set(weights), []
    for node in graph.node:
        if node.input and all(name in constant or not name for name in node.input):
            constant.update(node.output)
        elif operands := _operands(node):
            a, w = operands
            if "MatMul" in node.op_type and w not in constant:  # weights may stand on either side
                a, w = w, a
            weighted = w in constant  # else a product of two activations, whose shapes may be computed while it runs
            if weighted or {a, w, node.output[0]} <= shapes.keys():
                products.append(OnnxProduct(node, a, w, weighted, _macs(node, a, w, shapes, path)))
    return OnnxProducts(graph, weights, shapes, products, samples)


def _operands(node: NodeProto) -> tuple[str, str] | None:
    """Names of the activation and the weight of an operator that multiplies by weights."""
    if node.op_type in ("Conv", "ConvTranspose", "FusedConv", "ConvInteger", "Gemm", "MatMul", "MatMulInteger"):
        return node.input[0], node.input[1]
    if node.op_type in ("QLinearConv", "QLinearMatMul", "QGemm"):  # (a, scale, zero, w, scale, zero, ...)
        return node.input[0], node.input[3]
    return None


def _macs(node: NodeProto, a: str, w: str, shapes: dict[str, tuple[int, ...]], path: Path) -> int:
    missing = [name for name in (a, w, node.output[0]) if name not in shapes]
    if missing:
        raise ModelError(f"{path}: the shape of {missing[0]} ({node.op_type} {node.name}) is unknown; export it again")
    weight, output = shapes[w], math.prod(shapes[node.output[0]])
    if node.op_type == "ConvTranspose":
        return math.prod(shapes[a]) * math.prod(weight[1:])
    if "Conv" in node.op_type:
        return output * math.prod(weight[1:])
    if "Gemm" in node.op_type:
        transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
        return output * weight[1 if transposed else 0]
    return output * shapes[a][-1 if a == node.input[0] else -2]


def _params(weights: dict[str, TensorProto], nodes: list[NodeProto]) -> int:
    auxiliary = set(_scales_and_zero_points(nodes))
    floats = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)
    quantized = (TensorProto.INT8, TensorProto.UINT8, TensorProto.INT32)  # int32: biases
    operands = {name for node in nodes if node.op_type not in _BOOKKEEPING for name in node.input}
    return sum(
        math.prod(tensor.dims)
        for name, tensor in weights.items()
        if name in operands and name not in auxiliary and tensor.data_type in (*floats, *quantized)
    )


# Operators whose constant operands are sizes, axes and bounds, not trained numbers.
_BOOKKEEPING = ("Clip", "Expand", "Gather", "Pad", "Pow", "ReduceMean", "Reshape", "Resize", "Slice", "Unsqueeze")


def _scales_and_zero_points(nodes: list[NodeProto]) -> Iterator[str]:
    for node in nodes:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            yield from node.input[1:]
        elif node.op_type.startswith("QLinear") or node.op_type == "QGemm":  # (a, scale, zero, w, scale, zero, ...)
            bias = {"QLinearConv": 8, "QGemm": 6}.get(node.op_type)
            yield from (name for i, name in enumerate(node.input) if i not in (0, 3, bias))
        elif node.op_type.endswith("Integer"):
            yield from node.input[2:]


def _fix_free_axes(model: onnx.ModelProto, shapes: Mapping[str, Sequence[int]]) -> int:
    """Set every free axis of the inputs, to 1 where ``shapes`` does not say; returns the samples in the batch."""
    names = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in names]
    if len(inputs) == len(shapes) and not {value.name for value in inputs} & shapes.keys():
        shapes = dict(zip((value.name for value in inputs), shapes.values(), strict=True))
    samples = 1
    for value in inputs:
        dims = value.type.tensor_type.shape.dim
        for index, dim in enumerate(dims):
            if not dim.HasField("dim_value"):
                dim.dim_value = shapes[value.name][index] if value.name in shapes else 1
        samples = dims[0].dim_value if dims else 1
    model.graph.ClearField("value_info")  # may hold the free axes' names
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    return samples
