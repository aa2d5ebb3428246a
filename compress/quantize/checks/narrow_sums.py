"""Add to a layer of a QDQ graph what sums of 16 bits take away from it: the surgery behind ``emulate.py``.

New nodes compute, for each pair of weights that can overflow, the sum of its two products from the layer's integers,
and bring what is cut off of it to the pair's output. Floats hold all of these integers exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from compress.quantize.graph import qdq

LOW, HIGH = -(2**15), 2**15 - 1
"""Where sums of two products are cut off."""

LARGEST = 255
"""Of a u8 activation."""


@dataclass(frozen=True)
class Overflow:
    """A layer whose sums can be cut off: ``pairs`` of the ``of`` pairs of its weights."""

    layer: str
    pairs: int
    of: int

    @property
    def words(self) -> str:
        return f"{self.layer}: {self.pairs:,} of {self.of:,} pairs of weights can overflow 16 bits"


def add_excess(graph: ir.Graph, layer: qdq.Layer) -> Overflow | None:
    """Add to the layer's output what narrow sums take away."""
    integers = layer.integers
    if integers.dtype != np.int8:  # u8 x u8 is multiplied in 16 and added in 32 bits
        return None
    builder = {"Conv": _convolution, "Gemm": _product, "MatMul": _product}.get(layer.node.op_type)
    if builder is None:
        return None
    tape = _Tape(graph, layer)
    made = builder(tape, layer, integers)
    if made is None:
        return None
    pairs, excess = made
    tape.add_to_output(excess)
    return Overflow(layer.name or layer.node.outputs[0].name or layer.node.op_type, len(pairs.output), pairs.of)


@dataclass(frozen=True)
class _Pairs:
    """Pairs of weights that can overflow. ``output``: of which channel (P,); ``first``, ``second``: position of each
    weight along the order of K (P,), the second of them 0 past an odd end; ``weights``: (P, 2)."""

    output: np.ndarray
    first: np.ndarray
    second: np.ndarray
    weights: np.ndarray
    of: int

    def slots(self, per: np.ndarray, count: int) -> tuple[np.ndarray, int]:
        """Number the pairs of each of ``count`` owners from 0, and the most that one has; ``per``: each one's owner."""
        sizes = np.bincount(per, minlength=count)
        starts = np.cumsum(sizes) - sizes
        return np.arange(len(per)) - starts[per], int(sizes.max())


def _risky(weights: np.ndarray) -> _Pairs:
    """``weights``: integers (outputs, K) in the kernel's order."""
    padded = np.pad(weights.astype(np.int32), ((0, 0), (0, weights.shape[1] % 2)))
    pairs = padded.reshape(len(padded), -1, 2)
    highest = LARGEST * np.maximum(pairs, 0).sum(2)
    lowest = LARGEST * np.minimum(pairs, 0).sum(2)
    output, position = np.nonzero((highest > HIGH) | (lowest < LOW))
    first = 2 * position
    return _Pairs(
        output, first, np.where(first + 1 < weights.shape[1], first + 1, 0), pairs[output, position], pairs[..., 0].size
    )


class _Tape:
    """New nodes behind one layer; ``integers``: its input as floats with the zero point taken off, ``zero``: as u8."""

    def __init__(self, graph: ir.Graph, layer: qdq.Layer) -> None:
        self.graph, self.layer, self.nodes = graph, layer, []
        before = layer.node.inputs[0].producer()
        quantized, point = before.inputs[0], before.inputs[2] if len(before.inputs) > 2 else None
        offset = np.uint8(0) if point is None else qdq.stored(point).reshape(())
        self.zero = int(offset) + (128 if offset.dtype == np.int8 else 0)
        unit = self.constant(np.float32(1))
        self.integers = self.op("DequantizeLinear", [quantized, unit, *([] if point is None else [point])])

    def op(self, operator: str, inputs: list[ir.Value], attributes: dict | None = None) -> ir.Value:
        node = ir.node(operator, inputs, attributes or {})
        node.outputs[0].name = f"emulated_{self.layer.node.outputs[0].name}_{len(self.nodes)}"
        self.nodes.append(node)
        return node.outputs[0]

    def constant(self, array: np.ndarray) -> ir.Value:
        return qdq.constant(self.graph, "emulated", np.asarray(array))

    def excess(self, sums: ir.Value) -> ir.Value:
        limits = [self.constant(np.float32(limit)) for limit in (LOW, HIGH)]
        return self.op("Sub", [self.op("Clip", [sums, *limits]), sums])

    def add_to_output(self, excess: ir.Value) -> None:
        exact = self.layer.node.outputs[0]
        uses = tuple(exact.uses())
        total = self.op("Add", [exact, excess])
        if exact.is_graph_output():
            # The name of an output is part of the file's interface.
            total.name, exact.name = exact.name, f"{exact.name}_exact"
            total.shape, total.type = exact.shape, exact.type
            self.graph.outputs[self.graph.outputs.index(exact)] = total
        for user, index in uses:
            user.replace_input_with(index, total)
        self.graph.insert_after(self.layer.node, self.nodes)


def _convolution(tape: _Tape, layer: qdq.Layer, integers: np.ndarray) -> tuple[_Pairs, ir.Value] | None:
    """Two taps for each pair, and a 1x1 convolution of ones that brings them to their output channel."""
    outputs, inputs, *kernel = integers.shape
    groups = layer.node.attributes.get_int("group", 1)
    if inputs == 1 and outputs == groups:  # depthwise
        return None
    pairs = _risky(np.moveaxis(integers, 1, -1).reshape(outputs, -1))
    if not len(pairs.output):
        return None
    group = pairs.output * groups // outputs
    slot, width = pairs.slots(group, groups)
    taps = np.zeros((groups * width, np.prod(kernel, dtype=int), inputs), np.float32)
    flat = taps.reshape(len(taps), -1)
    channel = group * width + slot
    flat[channel, pairs.second] = pairs.weights[:, 1]
    flat[channel, pairs.first] = pairs.weights[:, 0]  # last, as past an odd end the second is no tap of its own
    taps = np.moveaxis(taps.reshape(-1, *kernel, inputs), -1, 1)
    sums = np.zeros((outputs, width, *(1 for _ in kernel)), np.float32)
    sums[pairs.output, slot] = 1
    # Padding is zero once the zero point is off, as in the kernel, which pads with the zero point.
    offset = tape.zero * taps.sum(tuple(range(1, taps.ndim)))
    attributes = dict(layer.node.attributes)
    products = tape.op("Conv", [tape.integers, tape.constant(taps), tape.constant(offset)], attributes)
    excess = tape.op("Conv", [tape.excess(products), tape.constant(sums)], {"group": groups})
    return pairs, tape.op("Mul", [excess, tape.constant(_scales(layer, outputs).reshape(-1, *(1 for _ in kernel)))])


def _product(tape: _Tape, layer: qdq.Layer, integers: np.ndarray) -> tuple[_Pairs, ir.Value] | None:
    """Both activations of each pair by their position, as many pairs for every output, summed."""
    attributes = layer.node.attributes
    if integers.ndim != 2 or attributes.get_int("transA", 0):
        return None
    weights = integers if attributes.get_int("transB", 0) else integers.T
    outputs = len(weights)
    pairs = _risky(weights)
    if not len(pairs.output):
        return None
    slot, width = pairs.slots(pairs.output, outputs)
    place = pairs.output * width + slot
    sums = tape.constant(np.zeros(outputs * width, np.float32))
    offset = np.zeros(outputs * width, np.float32)
    for column, position in enumerate((pairs.first, pairs.second)):
        index, factor = np.zeros(outputs * width, np.int64), np.zeros(outputs * width, np.float32)
        index[place], factor[place] = position, pairs.weights[:, column]
        offset += tape.zero * factor
        taken = tape.op("Gather", [tape.integers, tape.constant(index)], {"axis": -1})
        sums = tape.op("Add", [sums, tape.op("Mul", [taken, tape.constant(factor)])])
    excess = tape.excess(tape.op("Add", [sums, tape.constant(offset)]))
    leading = tape.op("Shape", [tape.integers], {"end": -1})
    shape = tape.op("Concat", [leading, tape.constant(np.array([outputs, width], np.int64))], {"axis": 0})
    split = tape.op("Reshape", [excess, shape])
    total = tape.op("ReduceSum", [split, tape.constant(np.array([-1], np.int64))], {"keepdims": 0})
    scales = _scales(layer, outputs) * np.float32(attributes.get_float("alpha", 1.0))
    return pairs, tape.op("Mul", [total, tape.constant(scales)])


def _scales(layer: qdq.Layer, outputs: int) -> np.ndarray:
    """What one unit of each output's sum is worth, (outputs,)."""
    return np.broadcast_to(layer.input_scale.reshape(()) * layer.scale.reshape(-1), (outputs,)).astype(np.float32)
