"""Moving a scale along a value of a float ONNX graph: into the constants that make it, or that read it.

Scaling channel i of an activation down by s_i and the weights that read it up by s_i changes nothing for the network,
but everything for 8 bits. What can take part:

- readers: convolutions and matrix products with constant weights, by their input channels;
- makers: convolutions and matrix products by their output channels and biases, products with and sums of constants,
  layer normalisation by its scale and bias;
- in between: what is positively homogeneous, f(s x) = s f(x) for s > 0, and keeps channels apart: Relu, LeakyRelu,
  PRelu, pooling. Clip(0, 6) and the smooth activations are not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from compress.quantize.graph import qdq

HOMOGENEOUS = ("Relu", "LeakyRelu", "PRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Identity")


@dataclass(frozen=True)
class Reader:
    """A layer that multiplies the channels of its input with constant weights."""

    node: ir.Node

    @property
    def value(self) -> ir.Value:
        return self.node.inputs[0]

    @property
    def axis(self) -> int:
        """Of the channels in the value that is read; -1: the last one."""
        return 1 if self.node.op_type == "Conv" else -1

    @property
    def largest(self) -> np.ndarray:
        """(input channels,) largest weight by magnitude."""
        weights = self._grouped(qdq.stored(self.node.inputs[1]))
        return np.abs(weights).max(axis=(1, *range(3, weights.ndim))).reshape(-1)

    def multiply(self, scale: np.ndarray) -> None:
        """Multiply the weights of input channel i with ``scale[i]``."""
        weights = qdq.stored(self.node.inputs[1])
        grouped = self._grouped(weights)
        groups, _, inputs = grouped.shape[:3]
        scale = scale.reshape(groups, 1, inputs, *[1] * (grouped.ndim - 3))
        scaled = grouped * scale.astype(weights.dtype)
        qdq.store(self.node.inputs[1], scaled.reshape(weights.shape) if self._rows else scaled[0].T)

    @property
    def _rows(self) -> bool:
        """Whether output channels come first in the weights."""
        return qdq.output_axis(self.node) == 0

    def _grouped(self, weights: np.ndarray) -> np.ndarray:
        """As (groups, outputs of a group, inputs of a group, ...)."""
        groups = self.node.attributes.get_int("group", 1)
        weights = weights if self._rows else weights.T
        return weights.reshape(groups, -1, *weights.shape[1:])


def reader(node: ir.Node) -> Reader | None:
    """The node as a reader, where its weights are its own and constant."""
    if node.op_type not in ("Conv", "Gemm", "MatMul") or not _own(node.inputs[1]):
        return None
    if node.op_type == "MatMul" and node.inputs[1].const_value.shape.rank() != 2:
        return None
    return None if node.attributes.get_int("transA", 0) else Reader(node)


Constants = list[tuple[ir.Value, int]]
"""Constants, and the axis of each that counts channels."""


def makers(value: ir.Value, axis: int, among: set[ir.Node]) -> tuple[ir.Node, Constants] | None:
    """The node that makes the channels of ``value`` (along ``axis``), and the constants to divide there.

    None where there is none: something else is in between, or somebody beside the nodes ``among`` reads a value on the
    way, or a constant belongs to others too.
    """
    if value.is_graph_output() or value.is_graph_input() or set(value.consumers()) - among:
        return None
    node = value.producer()
    rest = node.inputs[1:] if node is not None else ()
    if node is None:
        return None
    if node.op_type in HOMOGENEOUS and (node.op_type != "PRelu" or _own(node.inputs[1])):
        return makers(node.inputs[0], axis, {node})
    if node.op_type == "LayerNormalization" and axis == -1 and node.attributes.get_int("axis", -1) == -1:
        constants = [(constant, -1) for constant in rest if constant is not None]
        return (node, constants) if all(_own(constant) for constant in rest if constant is not None) else None
    if node.op_type in ("Conv", "Gemm", "MatMul"):
        return _of_layer(node, axis)
    if node.op_type in ("Mul", "Add"):
        return _of_elementwise(node, axis)
    return None


def _of_layer(node: ir.Node, axis: int) -> tuple[ir.Node, Constants] | None:
    rest = [constant for constant in node.inputs[1:] if constant is not None]
    if axis != (1 if node.op_type == "Conv" else -1) or not all(map(_own, rest)) or reader(node) is None:
        return None
    return node, [(rest[0], qdq.output_axis(node)), *((bias, -1) for bias in rest[1:])]


def _of_elementwise(node: ir.Node, axis: int) -> tuple[ir.Node, Constants] | None:
    constants = [value for value in node.inputs if _own(value)]
    others = [value for value in node.inputs if value not in constants]
    if len(constants) != 1 or len(others) != 1 or (found := _axis(constants[0], others[0], axis)) is None:
        return None
    if node.op_type == "Mul":
        return node, [(constants[0], found)]
    behind = makers(others[0], axis, {node})
    return behind and (behind[0], [*behind[1], (constants[0], found)])


def _axis(constant: ir.Value, other: ir.Value, axis: int) -> int | None:
    """Where the channels are in a constant that broadcasts against ``other``."""
    rank = None if other.shape is None else other.shape.rank()
    if axis == -1:
        found = -1
    elif rank is None:
        return None
    else:
        found = axis - rank
    shape = constant.const_value.shape
    return found if shape.rank() >= -found and shape[shape.rank() + found] != 1 else None


def _own(value: ir.Value | None) -> bool:
    """A constant that nobody else reads."""
    return value is not None and value.const_value is not None and len(value.uses()) == 1


def largest(constants: Constants, channels: int) -> np.ndarray:
    """(channels,) largest weight of the maker by magnitude: of the first constant, its biases are not weights."""
    value, axis = constants[0]
    array = qdq.stored(value)
    array = np.moveaxis(np.abs(array), axis, 0).reshape(array.shape[axis], -1).max(axis=1)
    return np.broadcast_to(array, (channels,))


def divide(constants: Constants, scale: np.ndarray) -> None:
    """Divide channel i of all of them by ``scale[i]``."""
    for value, axis in constants:
        array = qdq.stored(value)
        shaped = qdq.along(scale.astype(array.dtype), axis % array.ndim, array.ndim)
        qdq.store(value, array / shaped)
