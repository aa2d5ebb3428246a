"""QDQ files by ONNX Runtime's static quantizer: QuantizeLinear / DequantizeLinear pairs around every operator.

1. :func:`prepare`: the float graph is optimised and its shapes inferred, as the quantizer expects.
2. :func:`compress.quantize.graph.ranges.collect`: ranges of activations, once.
3. :func:`build`: pairs and int8 weights, as often as wanted, each time with other layers left in float. Normalisation
   always stays in float: its input are raw pixels already.
4. :func:`finish`: the pair behind the last layer goes, as 256 levels of logits would make ties that float does not
   have; ``compact`` shortens names, which otherwise are a good part of a small file.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.shape_inference import quant_pre_process

from compress.quantize.corrections.smooth import INSERTED
from compress.quantize.from_scheme import ort_options
from compress.quantize.graph.float_only import read_onnx
from compress.quantize.graph.ranges import Ranges
from compress.targets.draft import draft
from compress.targets.onnx_graph import compact

if TYPE_CHECKING:
    from compress.targets.scheme import Scheme

ELEMENTWISE = ("Cast", "Mul", "Add", "Sub", "Div")
"""What normalisation is made of."""

TYPES = {"u8": QuantType.QUInt8, "s8": QuantType.QInt8}


def prepare(path: Path | str) -> onnx.ModelProto:
    """The float file, optimised, with shapes. Raises :class:`QuantizationError` when it is quantized already."""
    read_onnx(path)
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(path, prepared, skip_symbolic_shape=True)
        return onnx.load(prepared)


def build(
    prepared: onnx.ModelProto, ranges: Ranges, scheme: Scheme, exclude: Collection[str] = frozenset()
) -> ir.Model:
    """The QDQ graph of a :func:`prepare`\\ d one, names as there. ``exclude``: names of nodes that stay in float."""
    data = {name: (np.array(low), np.array(high)) for name, (low, high) in ranges.items()}
    quantizer = QDQQuantizer(
        copy.deepcopy(prepared),
        scheme.per_channel,
        scheme.weight_bits == 7,  # reduce_range
        QuantType.QInt8,
        TYPES[scheme.activations],
        TensorsData(CalibrationMethod.MinMax, data),  # which the quantizer changes
        [],
        [*exclude, *_always_float(prepared.graph)],
        list(scheme.operators),
        ort_options(scheme),
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()  # which it leaves to saving
    return ir.from_proto(quantizer.model.model)


def finish(model: ir.Model, out: Path) -> None:
    """Write the graph to ``out``, small and checked."""
    _float_logits(model.graph)
    compact(model)
    with draft(Path(out)) as file:
        ir.save(model, file)
        onnx.checker.check_model(str(file), full_check=True)


def _always_float(graph: onnx.GraphProto) -> list[str]:
    """Names of the elementwise nodes between the input and the first real layer, and of SmoothQuant's own."""
    constants = {tensor.name for tensor in graph.initializer}
    reached, names = {"input"}, []
    for node in graph.node:
        if node.op_type in ELEMENTWISE and reached & set(node.input) and set(node.input) <= reached | constants:
            reached |= set(node.output)
            names.append(node.name)
    return names + [node.name for node in graph.node if node.name.startswith(INSERTED)]


def _float_logits(graph: ir.Graph) -> None:
    """Take the logits from before the last pair, where a matrix product made them: its int8 kernels can give floats."""
    out = graph.outputs[0]
    dequantize = out.producer()
    if dequantize is None or dequantize.op_type != "DequantizeLinear":
        return
    quantize_ = dequantize.inputs[0].producer()
    if quantize_ is None or quantize_.op_type != "QuantizeLinear":
        return
    logits = quantize_.inputs[0]
    if logits.producer() is None or logits.producer().op_type not in ("Gemm", "MatMul") or len(logits.uses()) > 1:
        return
    logits.name, logits.shape, logits.type, out.name = out.name, out.shape, out.type, f"{out.name}_quantized"
    graph.outputs[0] = logits
