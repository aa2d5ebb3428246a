"""The cost of an OpenVINO IR."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

from compress.bench.roofline.cost import WIDTHS, Cost, Product, Shapes
from edge_runtime.sessions.openvino_core import core

CONVOLUTIONS = {"Convolution": 1, "GroupConvolution": 2}
"""The axis of the weights that begins what is summed over."""
TRANSPOSED = {"ConvolutionBackpropData": 1, "GroupConvolutionBackpropData": 2}
UNCOUNTED = ("Einsum", "LSTMSequence", "GRUSequence", "RNNSequence", "ScaledDotProductAttention", "If", "Loop")
PASSED = ("Convert", "Multiply", "Subtract", "Reshape", "Transpose", "FakeQuantize", "Unsqueeze", "Squeeze")
"""Between a constant and the product it is a weight of."""
TYPES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16", "f64": "float64"}


def read(path: Path, inputs: Shapes) -> Cost:
    model = core().read_model(path)
    in_order = list(inputs.values()) if len(inputs) == len(model.inputs) else []
    model.reshape(
        {port: _shape(port, inputs, in_order[index] if in_order else None) for index, port in enumerate(model.inputs)}
    )
    nodes = model.get_ordered_ops()
    products = [_product(node) for node in nodes if node.get_type_name() in (*CONVOLUTIONS, *TRANSPOSED, "MatMul")]
    constants = [node for node in nodes if node.get_type_name() == "Constant"]
    return Cost(
        products=tuple(products),
        weights=sum(_bytes(node.output(0)) for node in constants),
        inputs=sum(_bytes(port) for port in model.inputs),
        outputs=sum(_bytes(port) for port in model.outputs),
        uncounted=tuple(sorted({node.get_type_name() for node in nodes} & set(UNCOUNTED))),
    )


def _shape(port: Any, inputs: Shapes, at_its_place: Sequence[int] | None) -> list[int]:
    given = next((inputs[name] for name in port.names if name in inputs), at_its_place)
    return [
        (1 if given is None else given[index]) if axis.is_dynamic else axis.get_length()
        for index, axis in enumerate(port.partial_shape)
    ]


def _product(node: Any) -> Product:
    kind = node.get_type_name()
    source, weights = (node.input_value(index) for index in (0, 1))
    result = node.output(0)
    numbers = [prod(port.get_partial_shape().to_shape()) for port in (source, result)]
    sizes = list(weights.get_partial_shape().to_shape())
    if kind == "MatMul":
        inner = list(source.get_partial_shape().to_shape())
        macs = numbers[1] * inner[-2 if node.get_attributes()["transpose_a"] and len(inner) > 1 else -1]
    elif kind in CONVOLUTIONS:
        macs = numbers[1] * prod(sizes[CONVOLUTIONS[kind] :])
    else:
        macs = numbers[0] * prod(sizes[TRANSPOSED[kind] :])
    stored = _stored(weights)
    integer = stored in ("i8", "u8", "i4", "u4") and _quantized(source)
    precision = "int8" if integer else TYPES.get(stored or "f32", "float32")
    moved = sum(numbers) + (prod(sizes) if stored is None else 0)
    return Product(node.get_friendly_name(), macs, precision, moved * WIDTHS[precision])


def _stored(port: Any) -> str | None:
    """The type of the constant that a weight is made of; None when it is computed."""
    node = port.get_node()
    while node.get_type_name() in PASSED:
        node = node.input_value(0).get_node()
    return node.get_output_element_type(0).get_type_name() if node.get_type_name() == "Constant" else None


def _quantized(port: Any) -> bool:
    """Whether integers arrive here, behind operators that only move numbers or take the largest: from a FakeQuantize,
    or 8-bit numbers made floats by subtracting and multiplying."""
    node = port.get_node()
    moving = ("Reshape", "Transpose", "MaxPool", "Squeeze", "Unsqueeze", "Relu", "Concat", "Split", "Pad")
    while node.get_type_name() in moving:
        node = node.input_value(0).get_node()
    if node.get_type_name() == "FakeQuantize":
        return True
    while node.get_type_name() in ("Multiply", "Subtract"):
        node = node.input_value(0).get_node()
    return node.get_type_name() == "Convert" and node.get_input_element_type(0).get_type_name() in ("i8", "u8")


def _bytes(port: Any) -> int:
    return (prod(port.get_partial_shape().to_shape()) * port.get_element_type().bitwidth + 7) // 8
