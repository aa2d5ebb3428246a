"""What runs of a ``.tflite`` file in int8: operators compute in the types of their tensors, so the file says it all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from compress.errors import QuantizationError
from compress.quantize.checks.covered import NO_WEIGHTS, STORED, Coverage, Layer
from compress.targets import litert_graph

CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
BITS = {"int4": 4, "int2": 2}
"""Types that numpy lacks."""


def read(path: Path, kept: Mapping[str, str]) -> Coverage:
    """As LiteRT runs it."""
    model = _load(path)
    tensors = model.subgraphs[0].tensors
    operators = list(litert_graph.operators(model))
    dequantized = {int(op.outputs[0]): int(op.inputs[0]) for name, op in operators if name == "DEQUANTIZE"}
    layers, unfused = [], []
    for name, operator in operators:
        if name in CONVERSIONS or not len(operator.outputs):
            continue
        inputs = [int(index) for index in operator.inputs if index >= 0]
        out = int(operator.outputs[0])
        if name in litert_graph.LAYERS:
            layers.append(_layer(name, inputs, out, tensors, dequantized, kept))
        elif any(index in dequantized for index in inputs) and _requantized(operators, out):
            unfused.append(f"around {name} {litert_graph.text(tensors[out].name)}")
    return Coverage(
        int8=dict(Counter(layer.operator for layer in layers if layer.int8)),
        floating=dict(Counter(layer.operator for layer in layers if not layer.int8)),
        conversions=sum(name in CONVERSIONS for name, _ in operators),
        layers=tuple(layers),
        unfused=tuple(unfused),
        weight_bytes=_weight_bytes(model),
        seen="the file alone: LiteRT computes in the types of its tensors",
    )


def _load(path: Path) -> Any:
    data = path.read_bytes()
    if data[4:8] != litert_graph.IDENTIFIER:
        raise QuantizationError(f"{path}: this is no LiteRT file")
    return litert_graph.read(data)


def _layer(
    operator: str, inputs: list[int], out: int, tensors: list, dequantized: Mapping[int, int], kept: Mapping[str, str]
) -> Layer:
    name = litert_graph.text(tensors[out].name)
    # A transposed convolution's first input is the shape of its result.
    value, weights = (inputs[2], inputs[1]) if operator == "TRANSPOSE_CONV" else (inputs[0], inputs[1])
    stored = _type(tensors[dequantized.get(weights, weights)])
    kinds = [_type(tensors[index]) for index in (value, weights)]
    if kinds == ["int8", "int8"]:
        return Layer(name, operator, operator, True, stored, "")
    if kinds == ["float32", "int8"]:  # LiteRT's "hybrid" kernels quantize the activations as they come
        return Layer(name, operator, f"hybrid {operator}", True, stored, "")
    if name in kept:
        why = f"kept in float on purpose: {kept[name]}"
    elif weights in dequantized:
        why = "only its weights are quantized, and turned back to floats to compute"
    elif value in dequantized:
        why = f"its weights are {stored}"
    else:
        why = "its tensors are floats: the quantizer left it out"
    return Layer(name, operator, operator, False, stored, why)


def _requantized(operators: list[tuple[str, Any]], tensor: int) -> bool:
    readers = [name for name, operator in operators if tensor in operator.inputs]
    return bool(readers) and set(readers) == {"QUANTIZE"}


def _weight_bytes(model: Any) -> dict[str, int]:
    """Of constants with two axes longer than 1."""
    sizes: Counter[str] = Counter()
    for tensor in model.subgraphs[0].tensors:
        shape = [] if tensor.shape is None else [int(size) for size in tensor.shape]
        if model.buffers[tensor.buffer].data is None or sum(size > 1 for size in shape) < 2:
            continue
        kind = _type(tensor)
        if kind not in NO_WEIGHTS:
            sizes[kind] += prod(shape) * (BITS.get(kind) or 8 * np.dtype(kind).itemsize) // 8
    return dict(sizes)


def _type(tensor: Any) -> str:
    names = {code: name for name, code in vars(litert_graph.schema().TensorType).items() if isinstance(code, int)}
    kind = names[tensor.type].lower()
    return STORED.get(kind, kind)
