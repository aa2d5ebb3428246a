"""Layers left in float in an ONNX file with QuantizeLinear / DequantizeLinear pairs.

ONNX Runtime fuses ``Dequantize -> operator -> Quantize`` into one int8 kernel. Three things follow:

- The kernel needs both ends, so what it gives exists as int8 only, and a float layer behind one reads it dequantized.
  Only a value that was computed in float is read as it was.
- ORT's quantizer drops activation functions that the next rounding implies (ReLU where the zero point is the smallest
  integer). Where the rounding goes, they come back; what they were is seen in the float file, walking up both graphs.
- ORT quantizes the weights of a float layer between both ends by itself when it loads the file
  (``WeightBiasQuantization``), in 8 bits whatever the scheme says. A LeakyRelu of slope 1, which changes nothing and
  costs nothing as part of the convolution, keeps it from that.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from compress.quantize.layers.keep import Layer, rounded, stay_int8
from compress.targets.draft import draft
from compress.targets.onnx_graph import LAYERS, compact
from compress.targets.scheme import OPERATORS

PAIR = ("QuantizeLinear", "DequantizeLinear")
ACTIVATIONS = ("Relu", "Clip")
SHAPES = ("Flatten", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze")


def layers(quantized: Path) -> tuple[Layer, ...]:
    graph = ir.load(quantized).graph
    found = []
    for node in filter(_is_layer, graph):
        stored = [_stored(value) for value in node.inputs[1:2]]
        weights = sum(tensor.size for tensor in stored if tensor is not None)
        found.append(Layer(node.name or "", node.op_type, weights))
    return tuple(found)


def with_float(quantized: Path, floating: Path, kept: frozenset[str], out: Path) -> None:
    model, original = ir.load(quantized), ir.load(floating)
    originals = {node.name: node for node in original.graph if node.op_type in LAYERS}
    dropped = _dropped(model.graph, originals)
    int8 = _stay_int8(model.graph, kept)
    for node in list(model.graph):
        if node in int8 or node.op_type in PAIR:
            continue
        if node.name in kept:
            _restore(model.graph, node, originals.get(node.name))
        for index, value in enumerate(node.inputs):
            source = _before_pair(value)
            if source in dropped and not _is_kernel(source, int8):
                node.replace_input_with(index, _activated(model.graph, source, dropped[source]))
    RemoveUnusedNodesPass()(model)
    for node in list(model.graph):
        if node.name in kept and _is_dequantized(node.inputs[0]):
            _part(model.graph, node.outputs[0])
    model.graph.sort()
    compact(model)
    with draft(out) as file:
        ir.save(model, file)
        onnx.checker.check_model(str(file), full_check=True)


def _dropped(graph: ir.Graph, originals: dict[str | None, ir.Node]) -> dict[ir.Value, tuple[ir.Node, ...]]:
    """For every rounded value the float graph's activation functions between it and the rounding.

    Found from the layers upwards, operator by operator; values for which the graphs differ otherwise are left out.
    """
    pending = [(node, originals[node.name]) for node in graph if _is_layer(node) and node.name in originals]
    seen, found = {node for node, _ in pending}, {}
    while pending:
        node, twin = pending.pop()
        for value, other in zip(node.inputs, twin.inputs, strict=False):
            source = _before_pair(value)
            if value is None or other is None or (source is None and _is_dequantized(value)):
                continue
            source, activations = value if source is None else source, []
            while _kind(other) in ACTIVATIONS and _kind(source) != _kind(other):
                activations.append(other.producer())
                other = other.producer().inputs[0]
            if _kind(source) != _kind(other):
                continue
            found[source] = tuple(reversed(activations))
            if source.producer() is not None and source.producer() not in seen:
                seen.add(source.producer())
                pending.append((source.producer(), other.producer()))
    return found


def _kind(value: ir.Value) -> str:
    return "" if value.producer() is None else value.producer().op_type


def _activated(graph: ir.Graph, value: ir.Value, activations: tuple[ir.Node, ...]) -> ir.Value:
    """``value`` after ``activations`` of another graph, whose other operands are constants."""
    for activation in activations:
        operands = [operand and operand.const_value for operand in activation.inputs[1:]]
        constants = [tensor and _constant(graph, tensor.numpy()) for tensor in operands]
        copy = ir.node(activation.op_type, [value, *constants], activation.attributes)
        graph.append(copy)
        value = copy.outputs[0]
    return value


def _part(graph: ir.Graph, value: ir.Value) -> None:
    """Put an operator that does nothing between ``value`` and its rounding."""
    for use in list(value.uses()):
        if use.node.op_type == "QuantizeLinear":
            same = ir.node("LeakyRelu", [value], {"alpha": 1.0})
            graph.append(same)
            use.node.replace_input_with(use.idx, same.outputs[0])


def _constant(graph: ir.Graph, array: np.ndarray) -> ir.Value:
    name = f"float.{len(graph.initializers)}"
    constant = ir.Value(name=name, const_value=ir.tensor(array, name=name))
    graph.register_initializer(constant)
    return constant


def _stay_int8(graph: ir.Graph, kept: frozenset[str]) -> set[ir.Node]:
    feeds = {node: set(node.successors()) for node in graph}
    layers = {node for node in graph if _is_layer(node)}
    shapes = {node for node in graph if node.op_type in (*SHAPES, *PAIR)}
    return stay_int8(feeds, layers, {node for node in layers if node.name in kept}, shapes)


def _is_layer(node: ir.Node) -> bool:
    return node.op_type in LAYERS and any(_is_dequantized(value) for value in node.inputs[:2])


def _is_dequantized(value: ir.Value | None) -> bool:
    return value is not None and value.producer() is not None and value.producer().op_type == "DequantizeLinear"


def _stored(value: ir.Value | None) -> ir.TensorProtocol | None:
    """The integers that a constant operand is stored as."""
    return value.producer().inputs[0].const_value if _is_dequantized(value) else None


def _before_pair(value: ir.Value | None) -> ir.Value | None:
    """What was rounded to give this value, or None where it was not, or is a constant."""
    if not _is_dequantized(value):
        return None
    quantizer = value.producer().inputs[0].producer()
    return quantizer.inputs[0] if quantizer is not None and quantizer.op_type == "QuantizeLinear" else None


def _is_kernel(value: ir.Value, int8: set[ir.Node]) -> bool:
    """Whether an int8 kernel computes this value; an activation function behind the operator is part of the kernel."""
    node = value.producer()
    while node is not None and node.op_type in ACTIVATIONS and not _is_dequantized(node.inputs[0]):
        node = node.inputs[0].producer()
    if node is None or node not in int8 or node.op_type not in OPERATORS:
        return False
    return any(map(_is_dequantized, node.inputs))


def _restore(graph: ir.Graph, node: ir.Node, original: ir.Node | None) -> None:
    """Give a layer its weights and bias in float: the original's, or its own dequantized."""
    faithful = original is not None and _rounds_to(original, node)
    for index, value in enumerate(node.inputs[1:], start=1):
        tensor = None
        if faithful and index < len(original.inputs) and original.inputs[index] is not None:
            tensor = original.inputs[index].const_value
        elif _stored(value) is not None:
            tensor = ir.tensor(_dequantized(value)[0])
        if tensor is not None and value is not None:
            node.replace_input_with(index, _constant(graph, tensor.numpy()))


def _rounds_to(original: ir.Node, node: ir.Node) -> bool:
    weights = original.inputs[1].const_value
    if weights is None or _stored(node.inputs[1]) is None or original.attributes.keys() != node.attributes.keys():
        return False
    return rounded(weights.numpy(), *_dequantized(node.inputs[1]))


def _dequantized(value: ir.Value) -> tuple[np.ndarray, np.ndarray]:
    """A stored constant in float, and the step between its values, of a shape that broadcasts to it."""
    node = value.producer()
    stored = node.inputs[0].const_value.numpy().astype(np.float32)
    scale = node.inputs[1].const_value.numpy()
    zero = node.inputs[2].const_value.numpy().astype(np.float32) if len(node.inputs) > 2 and node.inputs[2] else 0
    if scale.ndim == 1 and scale.size > 1:
        along = [1] * stored.ndim
        along[node.attributes.get_int("axis", 1)] = -1
        scale = scale.reshape(along)
        zero = zero.reshape(along) if np.ndim(zero) else zero
    return (stored - zero) * scale, scale
