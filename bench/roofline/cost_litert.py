"""The cost of a ``.tflite`` file."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

from compress.bench.roofline.cost import Cost, Product, Shapes
from compress.errors import ModelError
from compress.targets import litert_graph

UNCOUNTED = (
    "UNIDIRECTIONAL_SEQUENCE_LSTM",
    "LSTM",
    "UNIDIRECTIONAL_SEQUENCE_RNN",
    "STABLEHLO_COMPOSITE",
    "WHILE",
    "IF",
)
BITS = {"int2": 2, "int4": 4, "int8": 8, "uint8": 8, "bool": 8, "int16": 16, "float16": 16, "int64": 64, "float64": 64}
"""Of the types that do not have 32."""


def read(path: Path, inputs: Shapes) -> Cost:
    data = path.read_bytes()
    if data[4:8] != litert_graph.IDENTIFIER:
        raise ModelError(f"{path}: this is no LiteRT file")
    model = litert_graph.read(data)
    graph = model.subgraphs[0]
    batch = _batch(graph, inputs)
    operators = list(litert_graph.operators(model))
    products = [_product(name, operator, graph, model, batch) for name, operator in operators]
    constant = [tensor for tensor in graph.tensors if model.buffers[tensor.buffer].data is not None]
    return Cost(
        products=tuple(product for product in products if product),
        weights=sum(_bytes(tensor) for tensor in constant),
        inputs=batch * sum(_bytes(graph.tensors[index]) for index in graph.inputs),
        outputs=batch * sum(_bytes(graph.tensors[index]) for index in graph.outputs),
        uncounted=tuple(sorted({name for name, _ in operators} & set(UNCOUNTED))),
    )


def _batch(graph: Any, inputs: Shapes) -> int:
    """How many times larger all activations are than the file says, which is written for one sample."""
    written = graph.tensors[graph.inputs[0]].shape
    given = next(iter(inputs.values()), None)
    return given[0] // int(written[0]) if given is not None and len(written) else 1


def _product(name: str, operator: Any, graph: Any, model: Any, batch: int) -> Product | None:
    if name not in litert_graph.LAYERS:
        return None
    # A transposed convolution has the shape of its result first.
    first, second = operator.inputs[1:3][::-1] if name == "TRANSPOSE_CONV" else operator.inputs[:2]
    source, weights, result = (graph.tensors[index] for index in (first, second, operator.outputs[0]))
    kernel, out = _shape(weights), prod(_shape(result))
    if name in ("CONV_2D", "CONV_3D"):  # (out, height, width, in); 3-D: (depth, height, width, in, out)
        each = prod(kernel[1:]) if name == "CONV_2D" else prod(kernel[:-1])
        macs = out * each
    elif name == "DEPTHWISE_CONV_2D":  # (1, height, width, channels)
        macs = out * prod(kernel[1:3])
    elif name == "TRANSPOSE_CONV":  # (out, height, width, in)
        macs = prod(_shape(source)) * prod(kernel[:3])
    elif name == "FULLY_CONNECTED":  # (out, in)
        macs = out * kernel[-1]
    else:
        macs = out * _shape(source)[-2 if operator.builtinOptions.adjX else -1]
    kinds = {_type(source), _type(weights)}
    precision = "int8" if kinds <= {"int8", "uint8", "int4"} or kinds == {"float32", "int8"} else "float32"
    moved = _bytes(source) + _bytes(result)
    moved += 0 if model.buffers[weights.buffer].data is not None else _bytes(weights)
    return Product(litert_graph.text(result.name), macs * batch, precision, moved * batch)


def _shape(tensor: Any) -> tuple[int, ...]:
    return () if tensor.shape is None else tuple(int(size) for size in tensor.shape)


def _bytes(tensor: Any) -> int:
    return (prod(_shape(tensor)) * BITS.get(_type(tensor), 32) + 7) // 8


def _type(tensor: Any) -> str:
    names = {code: name for name, code in vars(litert_graph.schema().TensorType).items() if isinstance(code, int)}
    return names[tensor.type].lower()
