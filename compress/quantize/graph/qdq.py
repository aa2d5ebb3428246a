"""Reading and tidying QDQ graphs: ONNX files in which QuantizeLinear / DequantizeLinear pairs say what is int8.

A convolution or matrix product of such a graph looks like this; other corrections work on these pieces::

    x -> QuantizeLinear -> DequantizeLinear ----------.
    int8 weight, scale, zero point -> DequantizeLinear -> Conv -> y (still float) -> QuantizeLinear -> ...
    int32 bias, scale -------------> DequantizeLinear -'          (or a float bias)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operators that multiply an activation (first input) with weights (second); the third input, if any, is the bias."""

INTEGERS = (ir.DataType.INT8, ir.DataType.UINT8)


@dataclass(frozen=True)
class Layer:
    """A convolution or matrix product whose weights are stored as 8-bit integers.

    ``weight``: the integers; ``scale``, ``zero_point``: of shape () or (channels,), along ``axis`` of the weights;
    ``input_scale``: of the activation that comes in, None where that is not quantized; ``bias``: the stored one, int32
    or float, None where there is none.
    """

    node: ir.Node
    weight: ir.Value
    scale: np.ndarray
    zero_point: np.ndarray
    axis: int
    input_scale: np.ndarray | None
    bias: ir.Value | None

    @property
    def name(self) -> str:
        """The node's, which is that of the layer in the float graph too."""
        return self.node.name

    @property
    def integers(self) -> np.ndarray:
        return stored(self.weight)

    @property
    def channels(self) -> int:
        """How many outputs there are."""
        return self.integers.shape[output_axis(self.node)] * (_groups(self.node) if self._transposed else 1)

    @property
    def _transposed(self) -> bool:
        return self.node.op_type == "ConvTranspose"

    def along(self, values: np.ndarray) -> np.ndarray:
        """Scales or zero points in a shape that broadcasts against the weights."""
        return along(values, self.axis, self.integers.ndim)

    def dequantized(self) -> np.ndarray:
        """The weights as the layer sees them, float32."""
        offset = self.integers.astype(np.int32) - self.along(self.zero_point.astype(np.int32))
        return offset.astype(np.float32) * self.along(self.scale)

    def store_weights(self, integers: np.ndarray) -> None:
        """Put other integers in the weights' place; scales stay."""
        store(self.weight, integers.astype(self.integers.dtype))

    def bias_scale(self) -> np.ndarray | None:
        """(channels,) of an int32 bias; None of a float one, or where there is none."""
        if self.bias is None or stored(self.bias).dtype != np.int32:
            return None
        dequantize = self.node.inputs[2].producer()
        return np.broadcast_to(stored(dequantize.inputs[1]), (self.channels,))


def layers(model: ir.Model) -> Iterator[Layer]:
    """The convolutions and matrix products with 8-bit weights, in topological order."""
    for node in model.graph:
        if node.op_type in WEIGHTED and (found := _layer(node)) is not None:
            yield found


def _layer(node: ir.Node) -> Layer | None:
    dequantize = node.inputs[1].producer()
    if not is_constant_dequantizer(dequantize) or dequantize.inputs[0].dtype not in INTEGERS:
        return None
    weight, scale = dequantize.inputs[0], stored(dequantize.inputs[1])
    integers = stored(weight)
    zero = dequantize.inputs[2] if len(dequantize.inputs) > 2 else None
    before = node.inputs[0].producer()
    incoming = before.inputs[1].const_value if before is not None and before.op_type == "DequantizeLinear" else None
    return Layer(
        node=node,
        weight=weight,
        scale=scale,
        zero_point=np.zeros(scale.shape, integers.dtype) if zero is None else stored(zero),
        axis=dequantize.attributes.get_int("axis", 1) % integers.ndim,
        input_scale=None if incoming is None else incoming.numpy(),
        bias=_bias(node),
    )


def _bias(node: ir.Node) -> ir.Value | None:
    if node.op_type == "MatMul" or len(node.inputs) < 3 or node.inputs[2] is None:
        return None
    bias = node.inputs[2]
    if is_constant_dequantizer(bias.producer()):
        return bias.producer().inputs[0]
    return bias if bias.const_value is not None else None


def is_constant_dequantizer(node: ir.Node | None) -> bool:
    return (
        node is not None
        and node.op_type == "DequantizeLinear"
        and all(value is None or value.const_value is not None for value in node.inputs)
    )


def is_quantized(model: ir.Model) -> bool:
    """Whether any part of the graph is in integers already."""
    quantized = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulNBits", "MatMulInteger")
    return any(node.op_type in quantized or node.op_type.startswith(("QLinear", "QGemm")) for node in model.graph)


def output_axis(node: ir.Node) -> int:
    """The axis of the weights that counts output channels (of a transposed convolution: those of one group)."""
    if node.op_type == "Conv":
        return 0
    if node.op_type == "Gemm":
        return 0 if node.attributes.get_int("transB", 0) else 1
    return 1 if node.op_type == "ConvTranspose" else node.inputs[1].shape.rank() - 1


def _groups(node: ir.Node) -> int:
    return node.attributes.get_int("group", 1)


def along(values: np.ndarray, axis: int, rank: int) -> np.ndarray:
    """A vector in a shape that broadcasts along ``axis`` of an array of so many axes; a scalar stays one."""
    if values.ndim == 0:
        return values
    return values.reshape([-1 if index == axis else 1 for index in range(rank)])


def stored(value: ir.Value) -> np.ndarray:
    """The constant's array, not to be written to."""
    return value.const_value.numpy()


def store(value: ir.Value, array: np.ndarray) -> None:
    """Give an initializer another array; shape and type follow."""
    value.const_value = ir.tensor(np.ascontiguousarray(array), name=value.name)
    value.shape, value.type = value.const_value.shape, ir.TensorType(value.const_value.dtype)


def constant(graph: ir.Graph, name: str, array: np.ndarray) -> ir.Value:
    """A new initializer; its name gets a number where it is taken."""
    taken, wanted, count = graph.initializers, name, 0
    while wanted in taken:
        count += 1
        wanted = f"{name}_{count}"
    value = ir.Value(name=wanted)
    store(value, array)
    graph.register_initializer(value)
    return value


def fold_weights(model: ir.Model) -> int:
    """Turn every float initializer -> QuantizeLinear -> DequantizeLinear into an integer initializer ->
    DequantizeLinear, in place. PyTorch's exporter writes the first; only the second makes the file small.

    Returns how many were turned.
    """
    folded = 0
    for node in list(model.graph):
        if node.op_type != "QuantizeLinear" or any(v is not None and v.const_value is None for v in node.inputs):
            continue
        integers = _quantize(node)
        name = f"{node.inputs[0].name}_quantized"
        node.outputs[0].replace_all_uses_with(constant(model.graph, name, integers))
        folded += 1
    RemoveUnusedNodesPass()(model)
    return folded


def _quantize(node: ir.Node) -> np.ndarray:
    """What a QuantizeLinear of constants gives (ONNX: half to even, then saturate)."""
    values, scale = stored(node.inputs[0]), stored(node.inputs[1])
    zero = stored(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else np.uint8(0)
    axis = node.attributes.get_int("axis", 1) % max(values.ndim, 1)
    limits = np.iinfo(zero.dtype)
    offset = along(np.asarray(zero, np.int32), axis, values.ndim)
    rounded = np.rint(values / along(np.asarray(scale), axis, values.ndim)) + offset
    return np.clip(rounded, limits.min, limits.max).astype(zero.dtype)
