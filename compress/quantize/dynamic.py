"""Dynamic int8: weights are integers in the file, activations become integers as they come. No calibration.

Meant for transformers, whose activations differ so much from input to input that ranges fixed before would be wrong.

ONNX Runtime, by its own quantizer:

- Matrix products (MatMul, Gemm) run as MatMulInteger, behind a DynamicQuantizeLinear that takes the range of the tensor
  at hand: u8 whatever the scheme says, which only decides about bits and channels of the weights. The range is that of
  the whole batch: what else is in it moves an answer a little.
- Embedding tables are stored as int8 and widened row by row, after the look-up: most of a small encoder's file.
- Convolutions could run as ConvInteger, with which EfficientNet-Lite0 took 8.2 times as long as in float (103 ms, AVX2,
  one thread). Their weights are stored as int8 and widened when the file is loaded instead.

OpenVINO has no such graph: NNCF compresses the weights, and the runtime scales activations as they come if its CPU
plugin has kernels for that on the machine (VNNI, AMX).
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import onnx_ir as ir
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process

from compress.bench.words import counted
from compress.errors import QuantizationError
from compress.quantize.graph.float_only import read_onnx, runs_on
from compress.quantize.weight_only import (
    CONVOLUTIONS,
    PRODUCTS,
    RUNTIMES,
    TABLE,
    compress_openvino,
    store_int8,
    write,
)
from compress.quiet import root_logger

if TYPE_CHECKING:
    from compress.quantize.job import Job
    from compress.targets.scheme import Scheme


def quantize(job: Job) -> list[str]:
    """Write ``job.out``. Returns lines for the report.

    Raises :class:`QuantizationError` for a network that is quantized already or has no matrix product with constant
    weights, and for a runtime without dynamic int8.
    """
    runs_on(job.runtime, RUNTIMES, "dynamic int8")
    if job.runtime == "onnxruntime":
        return quantize_file(job.model, job.out, job.scheme)
    _has_products(read_onnx(job.onnx), job.onnx)
    return [
        *compress_openvino(job.model, job.out, 8, job.settings.group),
        "OpenVINO scales activations while running only where its plugin has such kernels (VNNI, AMX); elsewhere it "
        "computes these layers in float",
    ]


def quantize_file(model_path: Path, out: Path, scheme: Scheme) -> list[str]:
    """The ONNX file ``model_path``, of any inputs and outputs, as dynamic int8 at ``out``; lines for the report."""
    _has_products(read_onnx(model_path), model_path)
    with tempfile.TemporaryDirectory() as folder, root_logger():
        prepared, quantized = Path(folder) / "prepared.onnx", Path(folder) / "quantized.onnx"
        quant_pre_process(model_path, prepared, skip_symbolic_shape=True)
        quantize_dynamic(
            prepared,
            quantized,
            op_types_to_quantize=[*PRODUCTS, TABLE],
            per_channel=scheme.per_channel,
            reduce_range=scheme.weight_bits == 7,
            weight_type=QuantType.QInt8,
        )
        model = ir.load(quantized)
        counts = Counter(node.op_type for node in model.graph)
        stored = store_int8(model, CONVOLUTIONS)
        for node in model.graph:
            if node.op_type == "MatMulInteger":
                node.name = node.name.removesuffix("_quant").removesuffix("_MatMul")
        write(model, out)
    return _story(counts["MatMulInteger"], sum(stored.values()), scheme)


def _story(products: int, convolutions: int, scheme: Scheme) -> list[str]:
    story = [
        f"{counted(products, 'matrix product')} in int8: weights of {scheme.weight_bits} bits, activations as they "
        "come, scaled by the whole batch"
    ]
    if convolutions:
        story.append(
            f"{counted(convolutions, 'convolution')} in float, with int8 weights in the file: without fixed ranges "
            "ONNX Runtime's integer convolution is several times slower; `method: static` makes them int8"
        )
    return story


def _has_products(model: ir.Model, path: Path) -> None:
    layers = Counter(node.op_type for node in model.graph if node.op_type in (*CONVOLUTIONS, *PRODUCTS))
    if not any(_constant_product(node) for node in model.graph):
        listed = ", ".join(f"{count} {kind}" for kind, count in layers.items()) or "no layers with weights"
        raise QuantizationError(
            f"{path.name}: dynamic int8 is for matrix products with constant weights; this network has {listed}: use "
            "`method: static`"
        )


def _constant_product(node: ir.Node) -> bool:
    return node.op_type in PRODUCTS and node.inputs[1] is not None and node.inputs[1].const_value is not None
