"""What runs of an ONNX file in int8: read in the graph that ONNX Runtime makes of it, or in the file alone.

Nodes are numbered by name before the session is made. ONNX Runtime's fusions keep the name of the convolution or matrix
product inside theirs, so that the numbers tell which of the file's layers an integer kernel is.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import onnx
import onnx_ir as ir
import onnxruntime

from compress.errors import QuantizationError
from compress.quantize.checks.coverage_reasons import (
    INTEGER,
    LAYERS,
    MATMUL_NBITS,
    float_reason,
    tensorrt_reason,
    weights_of,
)
from compress.quantize.checks.covered import NO_WEIGHTS, STORED, Coverage, Layer
from compress.quantize.graph.read import read_graph

if TYPE_CHECKING:
    from compress.targets.scheme import Scheme

FLOAT = (
    *("Conv", "FusedConv", "NhwcFusedConv", "ConvTranspose", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"),
    MATMUL_NBITS,
)
"""ONNX Runtime's convolutions and matrix products that compute in float; INTEGER are those in int8."""

CONVERSIONS = ("QuantizeLinear", "DequantizeLinear")

Arch = Literal["x86_64", "aarch64"]


def read(path: Path, kept: Mapping[str, str], scheme: Scheme | None, arch: Arch | None) -> Coverage:
    """As ONNX Runtime runs it."""
    model = read_graph(path)
    signed = _signed_activations(model)
    arch = arch or ("aarch64" if signed else "x86_64")
    graph = _optimised(path, arch)
    found = _int8_nodes(model, graph)
    # What only an ARM session fuses, an x86 session has left for the sake of its signed activations.
    elsewhere = _int8_nodes(model, _optimised(path, "aarch64")) if signed and arch == "x86_64" else {}
    names, layers = _names(model), []
    for index, node in enumerate(model.graph):
        if node.op_type not in LAYERS:
            continue
        kernel, why = found.get(index), ""
        if kernel is None:
            signed_only = elsewhere.get(index)
            why = float_reason(node, scheme, kept, names[index]) if signed_only is None else _S8
        layers.append(Layer(names[index], node.op_type, kernel, kernel is not None, weights_of(node), why))
    counts = Counter(node.op_type for node in graph.node)
    return Coverage(
        int8=_listed(counts, INTEGER),
        floating=_listed(counts, FLOAT),
        conversions=sum(counts[name] for name in CONVERSIONS),
        layers=tuple(layers),
        unfused=tuple(_unfused(graph, names)),
        weight_bytes=_weight_bytes(model),
        seen=f"the graph that onnxruntime {onnxruntime.__version__} makes of it for {arch}",
    )


_S8 = "s8 activations do not fuse here on x86 (u8 ones do; ARM sessions fuse both)"


def read_alone(path: Path, kept: Mapping[str, str]) -> Coverage:
    """By TensorRT's rules: a layer runs in int8 where both of its inputs come out of DequantizeLinear."""
    model = read_graph(path)
    names, layers = _names(model), []
    for index, node in enumerate(model.graph):
        if node.op_type in LAYERS:
            why = tensorrt_reason(node, kept, names[index])
            layers.append(Layer(names[index], node.op_type, None, not why, weights_of(node), why))
    return Coverage(
        int8=dict(Counter(layer.operator for layer in layers if layer.int8)),
        floating=dict(Counter(layer.operator for layer in layers if not layer.int8)),
        conversions=0,
        layers=tuple(layers),
        weight_bytes=_weight_bytes(model),
        seen="the file alone, by TensorRT's rules for explicit quantization",
    )


def int8_nodes(path: Path, arch: Arch = "x86_64") -> dict[int, str]:
    """Position among the file's nodes of every layer that ONNX Runtime runs in int8, and the operator it becomes."""
    return _int8_nodes(read_graph(path), _optimised(path, arch))


def _optimised(path: Path, arch: Arch) -> onnx.GraphProto:
    options = onnxruntime.SessionOptions()
    # s8 activations are for ARM, whose sessions fuse them; x86's shift them to u8 first, and then fuse only some.
    options.add_session_config_entry("session.qdqisint8allowed", "1" if arch == "aarch64" else "0")
    # Warns that the saved graph fits this machine only; it is read once, here.
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        numbered = Path(folder) / "numbered.onnx"
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        model = onnx.load(path)
        for index, node in enumerate(model.graph.node):
            node.name = f"<{index}>"
        onnx.save(model, numbered)
        try:
            onnxruntime.InferenceSession(str(numbered), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the engine's errors share no base class of their own
            version = onnxruntime.__version__
            raise QuantizationError(f"{path}: onnxruntime {version} does not load this file: {error}") from error
        return onnx.load(options.optimized_model_filepath).graph


def _int8_nodes(model: ir.Model, graph: onnx.GraphProto) -> dict[int, str]:
    makers = {out.name: index for index, node in enumerate(model.graph) for out in node.outputs}
    found = {}
    for node in graph.node:
        if node.op_type in INTEGER:
            numbers = [int(number) for number in re.findall(r"<(\d+)>", node.name)]
            # Kernels of several operators are named anew, but give what the last of these gave.
            numbers = numbers or [makers[name] for name in node.output if name in makers]
            found |= dict.fromkeys(_layers_behind(list(model.graph), numbers), node.op_type)
    return found


def _layers_behind(nodes: list[ir.Node], numbers: list[int]) -> list[int]:
    """The layers themselves, where a kernel carries the number of what follows its layer (scaling, a bias)."""
    positions = {id(node): index for index, node in enumerate(nodes)}
    layers = []
    for number in numbers:
        node = nodes[number]
        while node is not None and node.op_type not in LAYERS:
            makers = [value.producer() for value in node.inputs if value is not None]
            node = next((maker for maker in makers if maker is not None), None)
        if node is not None:
            layers.append(positions[id(node)])
    return layers


def _names(model: ir.Model) -> list[str]:
    return [node.name or (node.outputs[0].name if node.outputs else None) or node.op_type for node in model.graph]


def _listed(counts: Mapping[str, int], operators: tuple[str, ...]) -> dict[str, int]:
    return {name: counts[name] for name in operators if counts[name]}


def _signed_activations(model: ir.Model) -> bool:
    quantizers = (node for node in model.graph if node.op_type == "QuantizeLinear" and len(node.inputs) > 2)
    zeros = (node.inputs[2] for node in quantizers if node.inputs[0].const_value is None)
    return any(zero is not None and zero.dtype == ir.DataType.INT8 for zero in zeros)


def _unfused(graph: onnx.GraphProto, names: list[str]) -> list[str]:
    """Q directly before DQ, and single float operators between DQ and Q."""
    makers = {name: node for node in graph.node for name in node.output}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)

    def shown(node: onnx.NodeProto | None) -> str:
        if node is None:
            return "the input"
        number = re.search(r"<(\d+)>", node.name)
        return f"{node.op_type} {names[int(number[1])] if number else node.output[0]}"

    found = []
    for node in graph.node:
        after = readers.get(node.output[0], [])
        before = [makers.get(name) for name in node.input]
        if node.op_type == "QuantizeLinear":
            for reader in after:
                if reader.op_type == "DequantizeLinear":
                    last = [shown(next_) for next_ in readers.get(reader.output[0], [])] or ["the output"]
                    found.append(f"between {shown(before[0])} and {', '.join(last)}")
        elif node.op_type not in CONVERSIONS and after and all(r.op_type == "QuantizeLinear" for r in after):
            # Pairs beside a float layer are seen from the other side of it.
            dequantized = [b for b in before if b is not None and b.op_type == "DequantizeLinear"]
            activations = [b for b in dequantized if b.input[0] in makers and makers[b.input[0]].op_type in INTEGER]
            if activations:
                found.append(f"around {shown(node)}")
    return found


def _weight_bytes(model: ir.Model) -> dict[str, int]:
    """Of constants with two axes longer than 1, without scales and zero points of weights quantized in blocks."""
    parameters = {
        value.name
        for node in model.graph
        for value in (node.inputs[1:] if node.op_type in CONVERSIONS else node.inputs[2:] if _blocks(node) else ())
        if value is not None
    }
    packed = {node.inputs[1].name: f"int{node.attributes.get_int('bits', 4)}" for node in model.graph if _blocks(node)}
    sizes: Counter[str] = Counter()
    constants = [*model.graph.initializers.values()]
    constants += [node.outputs[0] for node in model.graph if node.op_type == "Constant" and node.outputs]
    for value in constants:
        tensor = value.const_value
        if tensor is None or value.name in parameters or sum(size > 1 for size in tensor.shape) < 2:
            continue
        kind = tensor.dtype.name.lower()
        if kind not in NO_WEIGHTS:
            sizes[packed.get(value.name) or STORED.get(kind, kind)] += tensor.nbytes
    return dict(sizes)


def _blocks(node: ir.Node) -> bool:
    return node.op_type == MATMUL_NBITS
