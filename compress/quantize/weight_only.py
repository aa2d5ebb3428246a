"""Weights in 8 or 4 bits, activations as they are: a small file that needs no calibration.

ONNX Runtime

- 8 bits: int8 constants behind Cast and Mul (one scale an output channel, or a row of an embedding table). Constant
  folding widens them when the file is loaded: a quarter of the size, and exactly the speed and memory of float.
  DequantizeLinear would say the same, but is not folded, for the sake of QDQ files: EfficientNet-Lite0 took 2.4 times
  as long as in float. MatMulNBits with 8 bits keeps them small in memory as well, and took 3.3 times as long (MiniLM,
  single sentences, one thread), or 1.3 times with activations in int8, which is what `method: dynamic` does faster.
- 4 bits: MatMulNBits, one scale for every ``group`` weights along the input, for matrix products. ``accuracy_level`` 4
  lets the kernel take activations as int8, group by group: as fast as float there, 1.2 times with float activations,
  for the same answers. Convolutions and embeddings are stored in 8 bits as above.

OpenVINO

- NNCF's weight compression. Its runtime widens when it compiles, or computes with compressed matrix products where the
  CPU has kernels for that. In 4 bits it keeps the last layer and embeddings in 8.
"""

from __future__ import annotations

import io
import logging
from collections import Counter
from collections.abc import Collection
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
import openvino

from compress.bench.words import counted
from compress.errors import QuantizationError
from compress.quantize.graph import qdq
from compress.quantize.graph.float_only import LEAST, elements, read_onnx, read_openvino, runs_on
from compress.quiet import root_logger
from compress.targets.draft import draft
from compress.targets.onnx_graph import compact
from compress.targets.openvino import save

if TYPE_CHECKING:
    from compress.quantize.job import Job

RUNTIMES = ("onnxruntime", "openvino")
PRODUCTS = ("Gemm", "MatMul")
CONVOLUTIONS = ("Conv", "ConvTranspose")
TABLE = "Gather"
"""A row of a constant table is taken: an embedding."""

BITS = {"i4": "4-bit", "u4": "4-bit", "i8": "8-bit", "u8": "8-bit"}
"""OpenVINO's element types of compressed weights."""

WORDS = {"Conv": "convolution", "ConvTranspose": "transposed convolution", TABLE: "embedding table"} | dict.fromkeys(
    PRODUCTS, "matrix product"
)

LEAST_SHARE = 0.5
"""Of the weights, that must be in matrix products for `int4-weights` to deserve its name."""

INT8_ACTIVATIONS = 4
"""MatMulNBits' accuracy level at which activations are int8 inside the kernel."""


def quantize(job: Job) -> list[str]:
    """Write ``job.out`` with weights of ``job.settings.to``. Returns lines for the report.

    Raises :class:`QuantizationError` for a network that is quantized already, a runtime without such files, and
    `int4-weights` of a network that is not made of matrix products.
    """
    to = job.settings.to
    runs_on(job.runtime, RUNTIMES, to)
    bits = 4 if to == "int4-weights" else 8
    if bits == 4:
        _mostly_products(read_onnx(job.onnx), job.settings.group)
    if job.runtime == "openvino":
        return compress_openvino(job.model, job.out, bits, job.settings.group)
    model = read_onnx(job.model)
    story = []
    if bits == 4:
        model, count = _products_in_4_bits(model, job.settings.group)
        story.append(
            f"{counted(count, 'matrix product')} with 4-bit weights, one scale for {job.settings.group}: MatMulNBits, "
            "whose kernel takes activations as int8 group by group"
        )
    stored = store_int8(model)
    if stored:
        story.append(
            f"{_listed(stored)} with int8 weights in the file only: they are widened when it is loaded, so that speed "
            "and memory are float's"
        )
    write(model, job.out)
    return story


def store_int8(model: ir.Model, kinds: Collection[str] = (*CONVOLUTIONS, *PRODUCTS, TABLE)) -> Counter[str]:
    """Make the constant weights of operators of such ``kinds`` int8, widened by Cast and Mul; count them by operator.

    Symmetric, one scale an output channel or table row. Raises :class:`QuantizationError` for weights that are not
    finite.
    """
    graph, widened, counts = model.graph, {}, Counter()
    for node in list(graph):
        position = 0 if node.op_type == TABLE else 1
        weight = node.inputs[position] if node.op_type in kinds else None
        if weight is None or not (weight in widened or _is_weight(weight)):
            continue
        if weight not in widened:
            widened[weight] = _widened(graph, node, weight)
        node.replace_input_with(position, widened[weight])
        counts[node.op_type] += 1
    for weight in widened:
        if not weight.uses():
            del graph.initializers[weight.name]
    return counts


def compress_openvino(source: Path | str, out: Path, bits: int, group: int) -> list[str]:
    """Write the IR ``source`` with weights of 8 or 4 ``bits`` by NNCF; lines for the report."""
    import nncf
    from nncf.quantization.advanced_parameters import AdvancedCompressionParameters, GroupSizeFallbackMode

    nncf.set_log_level(logging.ERROR)  # its log tells what it is about to do
    modes, grouped = nncf.CompressWeightsMode, {}
    if bits == 4:
        grouped = {
            "group_size": group,
            # A layer whose inputs `group` does not divide gets the largest smaller group that does.
            "advanced_parameters": AdvancedCompressionParameters(
                group_size_fallback_mode=GroupSizeFallbackMode.ADJUST, min_adjusted_group_size=min(group, 16)
            ),
        }
    with redirect_stdout(io.StringIO()):  # progress bars
        # Asymmetric in 8 bits: a zero point a channel costs next to nothing and takes a third off the error.
        mode = modes.INT4_SYM if bits == 4 else modes.INT8_ASYM
        model = nncf.compress_weights(read_openvino(source), mode=mode, **grouped)
    counts = Counter(
        BITS[node.get_element_type().get_type_name()]
        for node in model.get_ops()
        if node.get_type_name() == "Constant"
        and node.get_element_type().get_type_name() in BITS
        and elements(node) >= LEAST
        and not _is_zero_point(node)
    )
    if not counts[f"{bits}-bit"]:
        raise QuantizationError(f"{Path(source).name}: NNCF found no weights for {bits} bits; use `to: int8-weights`")
    save(model, out)
    return [f"{counted(counts[name], 'layer')} with {name} weights by NNCF" for name in sorted(counts)]


def write(model: ir.Model, out: Path) -> None:
    """Compact, save and check the ONNX file."""
    compact(model)
    with draft(out) as file:
        ir.save(model, file)
        onnx.checker.check_model(str(file), full_check=True)


def _is_weight(value: ir.Value) -> bool:
    tensor = value.const_value
    return (
        value.is_initializer()
        and tensor is not None
        and tensor.dtype == ir.DataType.FLOAT
        and len(tensor.shape) >= 2
        and tensor.size >= LEAST
    )


def _widened(graph: ir.Graph, node: ir.Node, weight: ir.Value) -> ir.Value:
    array = qdq.stored(weight)
    axis = 0 if node.op_type == TABLE else qdq.output_axis(node)
    largest = np.abs(array).max(axis=tuple(index for index in range(array.ndim) if index != axis), keepdims=True)
    if not np.isfinite(largest).all():
        raise QuantizationError(f"layer '{node.name}' has weights that are not finite: train it again")
    scale = (np.where(largest == 0, 1, largest) / 127).astype(np.float32)  # a dead channel stays 0
    integers = np.clip(np.rint(array / scale), -127, 127).astype(np.int8)
    cast = ir.node("Cast", [qdq.constant(graph, f"{weight.name}_int8", integers)], {"to": ir.DataType.FLOAT.value})
    multiply = ir.node("Mul", [cast.outputs[0], qdq.constant(graph, f"{weight.name}_scale", scale)])
    cast.outputs[0].name, multiply.outputs[0].name = f"{weight.name}_wide", f"{weight.name}_scaled"
    graph.insert_before(node, [cast, multiply])
    return multiply.outputs[0]


def _products_in_4_bits(model: ir.Model, group: int) -> tuple[ir.Model, int]:
    with root_logger():  # importing this module configures it
        from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer
        from onnxruntime.quantization.onnx_model import ONNXModel

        plain = ONNXModel(ir.to_proto(model))
        plain.replace_gemm_with_matmul()
        settings = DefaultWeightOnlyQuantConfig(
            block_size=group, is_symmetric=True, accuracy_level=INT8_ACTIVATIONS, bits=4
        )
        small = _smaller_than(group, plain.model)
        quantizer = MatMulNBitsQuantizer(plain.model, nodes_to_exclude=small, algo_config=settings)
        quantizer.process()
    found = ir.from_proto(quantizer.model.model)
    count = 0
    for node in found.graph:
        if node.op_type == "MatMulNBits":
            node.name, count = node.name.removesuffix("_Q4").removesuffix("_MatMul"), count + 1
    return found, count


def _smaller_than(group: int, model: onnx.ModelProto) -> list[str]:
    """Products with fewer inputs than a group: padded to one, they would grow."""
    inputs = {tensor.name: tensor.dims[0] for tensor in model.graph.initializer if len(tensor.dims) == 2}
    return [n.name for n in model.graph.node if n.op_type == "MatMul" and inputs.get(n.input[1], group) < group]


def _mostly_products(model: ir.Model, group: int) -> None:
    """Raise :class:`QuantizationError` for networks and groups that 4 bits are not for."""
    sizes, fitting = Counter(), 0
    for node in model.graph:
        if node.op_type in (*CONVOLUTIONS, *PRODUCTS) and _is_weight(node.inputs[1]):
            weight = node.inputs[1].const_value
            sizes[node.op_type] += weight.size
            if node.op_type in PRODUCTS and len(weight.shape) == 2:
                inputs = weight.shape[1 - qdq.output_axis(node)]
                fitting += weight.size if inputs >= group else 0
    total = sum(sizes.values())
    if not total or fitting < LEAST_SHARE * total:
        layers = Counter(node.op_type for node in model.graph if node.op_type in sizes)
        listed = ", ".join(f"{layers[kind]} {kind} ({size / total:.1%} of the weights)" for kind, size in sizes.items())
        raise QuantizationError(
            f"int4-weights is for matrix products of {group} or more inputs, which hold too few of this network's "
            f"weights: it has {listed or 'no layers with weights'}; use `to: int8-weights`, or `to: int8` for speed"
        )


def _is_zero_point(node: openvino.Node) -> bool:
    """Of a layer: one a channel (or group), subtracted from the weights through a Convert."""
    converts = (target.get_node() for target in node.output(0).get_target_inputs())
    users = [target for convert in converts for target in convert.output(0).get_target_inputs()]
    return bool(users) and all(u.get_node().get_type_name() == "Subtract" and u.get_index() == 1 for u in users)


def _listed(counts: Counter[str]) -> str:
    words: Counter[str] = Counter()
    for kind, count in counts.items():
        words[WORDS[kind]] += count
    return " and ".join(counted(count, name) for name, count in words.items())
