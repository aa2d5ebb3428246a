"""Layers left in float in an OpenVINO IR with FakeQuantize nodes.

OpenVINO gives an int8 layer's result in float where a float layer asks for it, so a kept layer reads its input as it
was before the FakeQuantize, whatever computed it. Where the range of the FakeQuantize begins at 0, it may also have
done a ReLU's work (ONNX Runtime's quantizer drops such a ReLU), which then has to be put back.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino
from openvino import opset13 as operators

from compress.quantize.layers.keep import Layer, rounded, stay_int8
from compress.targets.openvino import save
from edge_runtime.sessions.openvino_core import core

LAYERS = ("Convolution", "ConvolutionBackpropData", "GroupConvolution", "GroupConvolutionBackpropData", "MatMul")
SHAPES = (
    *("MaxPool", "Pad", "Reshape", "Slice", "Split", "Squeeze", "StridedSlice", "Transpose", "Unsqueeze"),
    *("VariadicSplit", "FakeQuantize"),
)
CUTS = ("Relu", "Clamp", "Maximum", "Minimum")
AFTER = ("Add", "Multiply")
"""Where a layer's bias is: an addition of a constant, for a Gemm behind a product with one."""


def layers(quantized: Path) -> tuple[Layer, ...]:
    model = core().read_model(quantized)
    found = []
    for node in filter(_is_layer, model.get_ordered_ops()):
        constant = _dequantized(node.input_value(1).get_node())
        found.append(Layer(node.get_friendly_name(), node.get_type_name(), 0 if constant is None else constant[0].size))
    return tuple(found)


def with_float(quantized: Path, floating: Path, kept: frozenset[str], out: Path) -> None:
    model, original = core().read_model(quantized), core().read_model(floating)
    originals = {node.get_friendly_name(): node for node in original.get_ops() if node.get_type_name() in LAYERS}
    clamps = sorted(high for node in original.get_ops() if (high := _high(node)) is not None)
    int8 = _stay_int8(model, kept)
    for node in model.get_ordered_ops():
        if node.get_friendly_name() in int8 or node.get_type_name() == "FakeQuantize":
            continue
        if _is_layer(node) and node.get_friendly_name() in kept:
            _restore(node, originals.get(node.get_friendly_name()))
        for port in node.inputs():
            quantizer = port.get_source_output().get_node()
            if quantizer.get_type_name() == "FakeQuantize":
                port.replace_source_output(_before(quantizer, clamps))
    model.validate_nodes_and_infer_types()
    save(model, out)


def _before(quantizer: openvino.Node, clamps: list[float]) -> openvino.Output:
    """What a FakeQuantize rounds, cut off where its own range stood for a ReLU or, among ``clamps``, a ReLU6."""
    source = quantizer.input_value(0)
    low, high = (_constant(quantizer.input_value(index).get_node()) for index in (1, 2))
    if low is None or low.size > 1 or low.item() != 0 or source.get_node().get_type_name() in CUTS:
        return source
    limit = next((limit for limit in clamps if high.item() <= limit * (1 + 1e-3)), None)
    cut = operators.relu(source) if limit is None else operators.clamp(source, 0.0, limit)
    return cut.output(0)


def _high(node: openvino.Node) -> float | None:
    """Where a node cuts values off above: a Clamp, or the Minimum that the ONNX front end makes of a Clip."""
    if node.get_type_name() == "Clamp":
        return float(node.get_attributes()["max"])
    if node.get_type_name() == "Minimum":
        limits = [_constant(node.input_value(index).get_node()) for index in (0, 1)]
        return next((limit.item() for limit in limits if limit is not None and limit.size == 1), None)
    return None


def _stay_int8(model: openvino.Model, kept: frozenset[str]) -> set[str]:
    nodes = [node for node in model.get_ordered_ops() if node.get_type_name() != "Constant"]
    feeds = {
        node.get_friendly_name(): {
            reader.get_node().get_friendly_name() for output in node.outputs() for reader in output.get_target_inputs()
        }
        for node in nodes
    }
    found = [node for node in nodes if _is_layer(node)]
    return stay_int8(
        feeds,
        {node.get_friendly_name() for node in found},
        {node.get_friendly_name() for node in found if node.get_friendly_name() in kept},
        {node.get_friendly_name() for node in nodes if node.get_type_name() in SHAPES},
    )


def _is_layer(node: openvino.Node) -> bool:
    """Whether it multiplies, and its second operand is stored in 8 bits or rounded."""
    if node.get_type_name() not in LAYERS:
        return False
    operand = node.input_value(1).get_node()
    return _dequantized(operand) is not None or operand.get_type_name() == "FakeQuantize"


def _restore(node: openvino.Node, original: openvino.Node | None) -> None:
    """Give a layer the original's weights and bias, where its own are those rounded."""
    stored = _dequantized(node.input_value(1).get_node())
    weights = original and _constant(original.input_value(1).get_node())
    if stored is None or weights is None or not rounded(weights, *stored):
        return
    _replace(node.input(1), weights)
    node, original = _after(node), _after(original)
    while node is not None and original is not None and node.get_type_name() == original.get_type_name():
        for port, twin in zip(node.inputs(), original.inputs(), strict=True):
            own, other = (_constant(end.get_source_output().get_node()) for end in (port, twin))
            if own is not None and other is not None and own.size == other.size:
                _replace(port, other)
        node, original = _after(node), _after(original)


def _after(node: openvino.Node) -> openvino.Node | None:
    """The node that adds the bias, or scales before that, if the next one does."""
    readers = [port.get_node() for port in node.output(0).get_target_inputs()]
    if len(readers) != 1 or readers[0].get_type_name() not in AFTER:
        return None
    constants = [_constant(port.get_source_output().get_node()) for port in readers[0].inputs()]
    return readers[0] if any(constant is not None for constant in constants) else None


def _replace(port: openvino.Input, value: np.ndarray) -> None:
    port.replace_source_output(operators.constant(value).output(0))


def _constant(node: openvino.Node) -> np.ndarray | None:
    return node.data.copy() if node.get_type_name() == "Constant" else None


def _dequantized(node: openvino.Node) -> tuple[np.ndarray, np.ndarray] | None:
    """A constant stored in 8 bits in float, and the step between its values; None where the node is something else.

    As NNCF and the ONNX front end write it: a constant, converted, perhaps a zero point subtracted, times the scale.
    """
    kind = node.get_type_name()
    if kind == "Reshape":
        inner = _dequantized(node.input_value(0).get_node())
        shape = tuple(node.output(0).get_shape()) if inner else ()
        return inner and (inner[0].reshape(shape), np.broadcast_to(inner[1], inner[0].shape).reshape(shape))
    if kind != "Multiply":
        return None
    scale = _constant(node.input_value(1).get_node())
    integers = _integers(node.input_value(0).get_node())
    return None if scale is None or integers is None else (integers * scale, scale)


def _integers(node: openvino.Node) -> np.ndarray | None:
    if node.get_type_name() == "Subtract":
        stored, zero = (_integers(node.input_value(index).get_node()) for index in (0, 1))
        zero = _constant(node.input_value(1).get_node()) if zero is None else zero
        return None if stored is None or zero is None else stored - zero
    if node.get_type_name() == "Convert":
        constant = _constant(node.input_value(0).get_node())
        return None if constant is None or constant.dtype.kind not in "iu" else constant.astype(np.float32)
    return None
