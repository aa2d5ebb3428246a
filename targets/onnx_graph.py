"""Small changes to an ONNX graph that keep what it computes: `tidy` after an export, `compact` before shipping a file.

Both work on :class:`onnx_ir.Model` in place.
"""

from __future__ import annotations

import ast
import itertools

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import (
    ClearMetadataAndDocStringPass,
    DeduplicateInitializersPass,
    RemoveUnusedNodesPass,
    RemoveUnusedOpsetsPass,
)

_DEDUPLICATED = 1024  # elements; larger constants are weights, which do not repeat


LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""What multiplies weights: what people call layers. Their names are kept, because reports speak of them."""

INTEGER_LAYERS = ("MatMulInteger", "MatMulNBits")
"""What dynamic int8 and 4-bit weights make of them."""


def tidy(model: ir.Model) -> None:
    """Spell flattening and global pooling as quantizers and engines know them, name the layers after their modules, and
    drop the exporter's annotations.

    The annotations hold stack traces, and with them the paths of the machine that exported.
    """
    _name_layers(model.graph)
    for node in list(model.graph):
        if node.op_type == "Reshape":
            _state_the_shape(model.graph, node)
        elif node.op_type == "ReduceMean":
            _pool_globally(model.graph, node)
    RemoveUnusedNodesPass()(model)
    RemoveUnusedOpsetsPass()(model)
    _forget(model)


def compact(model: ir.Model) -> None:
    """Make the file small: short names (but of inputs, outputs and layers), equal constants once, no stored shapes."""
    _forget(model)
    DeduplicateInitializersPass(size_limit=_DEDUPLICATED)(model)
    RemoveUnusedNodesPass()(model)
    graph = model.graph
    kept = {id(value) for value in (*graph.inputs, *graph.outputs)}
    taken = {value.name for value in (*graph.inputs, *graph.outputs)}
    names = (name for name in map(_letters, itertools.count()) if name not in taken)
    for initializer in list(graph.initializers.values()):
        del graph.initializers[initializer.name]
        initializer.name = initializer.const_value.name = next(names)
        initializer.shape = initializer.type = None  # its tensor has them
        graph.initializers.add(initializer)
    for node in graph:
        if node.op_type not in (*LAYERS, *INTEGER_LAYERS):
            node.name = None
        for value in node.outputs:
            if id(value) not in kept:
                value.name = next(names) if value.uses() else ""
                value.shape = value.type = None  # the engine infers them when it loads


def _name_layers(graph: ir.Graph) -> None:
    """A layer is called as its module is in PyTorch, `blocks.0.conv1`: its weight has kept that name, or its scope."""
    taken = {node.name for node in graph}
    for node in graph:
        if node.op_type not in LAYERS:
            continue
        names = [value.name for value in node.inputs[1:2] if value is not None and value.is_initializer()]
        name = names[0].removesuffix(".weight") if names and names[0].endswith(".weight") else _scope(node)
        if name and name not in taken:
            taken.add(name)
            node.name = name


def _scope(node: ir.Node) -> str:
    """The innermost module of a node that the exporter made; its own name comes last in the list."""
    scopes = node.metadata_props.get("pkg.torch.onnx.name_scopes")
    return ["", *ast.literal_eval(scopes)][-2] if scopes else ""


def _forget(model: ir.Model) -> None:
    ClearMetadataAndDocStringPass()(model)
    graph = model.graph  # whose values the pass leaves alone
    for value in (*graph.inputs, *graph.initializers.values(), *(value for node in graph for value in node.outputs)):
        value.metadata_props.clear()


def _letters(index: int) -> str:
    """0, 1, ..., 26, ... as a, b, ..., aa, ..."""
    name = ""
    index += 1
    while index:
        index, digit = divmod(index - 1, 26)
        name = chr(ord("a") + digit) + name
    return name


def _state_the_shape(graph: ir.Graph, node: ir.Node) -> None:
    """A target shape that is computed (Shape, Gather, Concat) becomes a constant with -1 for the one free axis."""
    shape = node.outputs[0].shape
    if node.inputs[1].const_value is not None or shape is None:
        return
    sizes = [size if isinstance(size, int) else -1 for size in shape]
    if sizes.count(-1) <= 1:
        node.replace_input_with(1, _constant(graph, f"{node.outputs[0].name}_shape", np.array(sizes, np.int64)))


def _pool_globally(graph: ir.Graph, node: ir.Node) -> None:
    """A mean over height and width is GlobalAveragePool, for which engines have int8 kernels; ReduceMean has none."""
    values, out = node.inputs[0], node.outputs[0]
    axes = node.inputs[1].const_value if len(node.inputs) > 1 and node.inputs[1] is not None else None
    if axes is None or values.shape is None or len(values.shape) != 4:
        return
    if sorted(axis % 4 for axis in axes.numpy().tolist()) != [2, 3]:
        return
    keep = node.attributes.get_int("keepdims", 1)
    pooled = ir.node("GlobalAveragePool", [values])
    nodes = [pooled] if keep else [pooled, ir.node("Flatten", [pooled.outputs[0]], {"axis": 1})]
    nodes[-1].outputs[0].name = out.name
    if not keep:
        pooled.outputs[0].name = f"{out.name}_pooled"
    ir.convenience.replace_nodes_and_values(graph, node, [node], nodes, [out], nodes[-1].outputs)


def _constant(graph: ir.Graph, name: str, array: np.ndarray) -> ir.Value:
    value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
    graph.register_initializer(value)
    return value
