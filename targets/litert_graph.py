"""LiteRT's graph: a flatbuffer of tensors, and of operators that name their tensors by number.

The converter writes files for a batch of one, with the names of Python classes in every tensor. :func:`tidy` makes of
them what our other exports are.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from compress.errors import ToolError

LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "CONV_3D", "FULLY_CONNECTED", "BATCH_MATMUL")
"""Operators that multiply weights or matrices."""

IDENTIFIER = b"TFL3"


@dataclass(frozen=True)
class Layer:
    """A convolution or matrix product. ``int8``: both factors and the result are."""

    name: str
    operator: str
    int8: bool


def schema() -> ModuleType:
    """The classes of the file format. Raises :class:`ToolError` when the package that has them is missing."""
    try:
        return importlib.import_module("ai_edge_litert.schema_py_generated")
    except ModuleNotFoundError as error:
        raise ToolError(f"LiteRT needs {error.name}: pip install 'compress[litert]'") from error


def read(data: bytes) -> Any:
    """The model (``ModelT``), whose arrays may be changed. ``data`` has to live as long."""
    model = schema().ModelT.InitFromPackedBuf(data, 0)
    for buffer in model.buffers:
        if buffer.offset > 1:  # larger constants stand behind the flatbuffer, where no object would keep them
            buffer.data = np.frombuffer(data, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return model


def write(model: Any, path: Path) -> None:
    import flatbuffers

    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    path.write_bytes(builder.Output())


def operators(model: Any) -> Iterator[tuple[str, Any]]:
    """Name and operator (``OperatorT``), in the order they run."""
    names = {code: name for name, code in vars(schema().BuiltinOperator).items() if isinstance(code, int)}
    for operator in model.subgraphs[0].operators:
        code = model.operatorCodes[operator.opcodeIndex]
        # Files of old converters have the code in a byte of its own.
        yield names[max(code.builtinCode, code.deprecatedBuiltinCode)], operator


def layers(path: Path) -> list[Layer]:
    """Every convolution and matrix product of a file."""
    model = read(path.read_bytes())
    tensors, integer = model.subgraphs[0].tensors, schema().TensorType.INT8
    return [
        Layer(
            text(tensors[operator.outputs[0]].name),
            name,
            all(tensors[index].type == integer for index in (*_factors(name, operator), operator.outputs[0])),
        )
        for name, operator in operators(model)
        if name in LAYERS
    ]


def conversions(path: Path) -> int:
    """How often numbers change between float and integer."""
    return sum(name in ("QUANTIZE", "DEQUANTIZE") for name, _ in operators(read(path.read_bytes())))


def free_the_batch(model: Any) -> None:
    """State that the first axis of inputs and outputs may have any size."""
    graph = model.subgraphs[0]
    for index in (*graph.inputs, *graph.outputs):
        graph.tensors[index].shapeSignature = [-1, *graph.tensors[index].shape[1:]]


def tidy(model: Any, modules: Mapping[str, str]) -> None:
    """Free the batch axis, call layers as their modules are called in PyTorch, and the rest by number.

    ``modules``: from the converter's words for a place in the network to the module's path.
    """
    free_the_batch(model)
    for name, operator in list(operators(model)):
        if name == "RESHAPE":
            _free_shape(model, operator)
    _rename(model, modules)


def _factors(name: str, operator: Any) -> tuple[int, int]:
    """The two tensors that are multiplied; a transposed convolution has the shape of its output first."""
    return tuple(operator.inputs[1:3] if name == "TRANSPOSE_CONV" else operator.inputs[:2])


def _free_shape(model: Any, operator: Any) -> None:
    """A shape that was written out for a batch of one gets -1 for that axis."""
    graph = model.subgraphs[0]
    source, out = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
    shape = list(map(int, out.shape))
    if not shape or shape[0] != 1 or not len(source.shape) or source.shape[0] != 1:
        return
    shape[0] = -1
    classes = schema()
    buffer, tensor = classes.BufferT(), classes.TensorT()
    buffer.data = np.frombuffer(np.array(shape, np.int32).tobytes(), np.uint8)
    model.buffers.append(buffer)
    tensor.name, tensor.type = f"{text(out.name)};shape", classes.TensorType.INT32
    tensor.shape, tensor.buffer = [len(shape)], len(model.buffers) - 1
    graph.tensors.append(tensor)
    operator.inputs = [operator.inputs[0], len(graph.tensors) - 1]
    if operator.builtinOptions is not None:
        operator.builtinOptions.newShape = shape


def _rename(model: Any, modules: Mapping[str, str]) -> None:
    tensors = model.subgraphs[0].tensors
    names = {}
    for operator_name, operator in operators(model):
        if operator_name in LAYERS:
            # The last layer's result is called like the output; its bias still tells where it is from.
            told = ";;".join(text(tensors[index].name) for index in (operator.outputs[0], *operator.inputs[1:]))
            # Several places that were fused, each with the number of the operator there.
            places = (place.rpartition(";")[0] or place for place in told.split(";;"))
            found = next((modules[place] for place in places if place in modules), None)
            if found and found not in names.values():
                names[operator.outputs[0]] = found
    for index, tensor in enumerate(tensors):
        tensor.name = names.get(index, str(index))


def text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name
