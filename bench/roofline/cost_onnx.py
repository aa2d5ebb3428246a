"""The cost of an ONNX file."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
from onnx import NodeProto, helper

from compress.bench.roofline.cost import WIDTHS, Cost, Product, Shapes
from compress.models.counts import OnnxProduct, OnnxProducts, onnx_products
from compress.quantize.checks.coverage_reasons import INTEGER

UNCOUNTED = (
    *("Einsum", "LSTM", "GRU", "RNN", "Attention", "MultiHeadAttention", "GroupQueryAttention", "QAttention"),
    *("MatMulNBits", "DynamicQuantizeLSTM", "If", "Loop", "Scan"),
)
HALVES = ("INT4", "UINT4", "FLOAT4E2M1")
"""Types of which two share a byte."""


def read(path: Path, inputs: Shapes) -> Cost:
    found = onnx_products(path, inputs)
    makers = {name: node for node in found.graph.node for name in node.output}
    readers: dict[str, list[NodeProto]] = {}
    for node in found.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    given = [value for value in found.graph.input if value.name not in found.weights]
    return Cost(
        products=tuple(_product(product, found, makers) for product in found.products),
        weights=sum(_bytes(prod(tensor.dims), tensor.data_type) for tensor in found.weights.values()),
        inputs=sum(_size(found, value) for value in given),
        outputs=sum(_size(found, value) for value in found.graph.output),
        uncounted=tuple(sorted({node.op_type for node in found.graph.node} & set(UNCOUNTED))),
    )


def _product(product: OnnxProduct, found: OnnxProducts, makers: dict[str, NodeProto]) -> Product:
    node = product.node
    sources = [makers.get(name) for name in (product.a, product.w)]
    dequantized = all(source is not None and source.op_type == "DequantizeLinear" for source in sources)
    integer = node.op_type in INTEGER or dequantized
    precision = "int8" if integer else _precision(found, product)
    names = [product.a, node.output[0], *([] if product.weighted else [product.w])]
    numbers = sum(prod(found.shapes[name]) for name in names)
    return Product(node.name or node.output[0], product.macs, precision, numbers * WIDTHS.get(precision, 4))


def _precision(found: OnnxProducts, product: OnnxProduct) -> str:
    """Of the weights; of two activations float32 is assumed, which is what they mostly are."""
    tensor = found.weights.get(product.w)
    kind = np.dtype(np.float32) if tensor is None else np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
    return kind.name if kind.name in WIDTHS else "float32"


def _size(found: OnnxProducts, value: object) -> int:
    # An output whose shape is computed while it runs counts as nothing.
    return _bytes(prod(found.shapes.get(value.name, (0,))), value.type.tensor_type.elem_type)


def _bytes(count: int, kind: int) -> int:
    if helper.tensor_dtype_to_string(kind).rpartition(".")[2] in HALVES:
        return -(-count // 2)
    return count * np.dtype(helper.tensor_dtype_to_np_dtype(kind)).itemsize
