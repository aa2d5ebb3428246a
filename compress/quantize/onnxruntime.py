"""Post-training int8 by ONNX Runtime's static quantizer: QuantizeLinear / DequantizeLinear pairs around every operator.

1. The float graph is optimised and its shapes inferred, as the quantizer expects.
2. Calibration samples stream through it batch by batch; their ranges set the scales of activations.
3. Weights become int8 in the file. Normalisation stays in float: its input are raw pixels already.
4. The pair behind the last layer goes: 256 levels of logits would make ties that float does not have.
5. ``compact`` shortens names, which otherwise are a good part of a small file.
"""

from __future__ import annotations

import io
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_ir as ir
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.calibrate import CalibrationDataReader
from onnxruntime.quantization.shape_inference import quant_pre_process

from compress.targets.draft import draft
from compress.targets.onnx_graph import compact

if TYPE_CHECKING:
    from compress.recipe import Quantize
    from compress.targets.scheme import Scheme

OPERATORS = (
    *("Conv", "ConvTranspose", "Gemm", "MatMul"),
    *("Add", "Mul", "Concat", "Relu", "Clip", "LeakyRelu", "Sigmoid"),
    *("MaxPool", "AveragePool", "GlobalAveragePool", "Resize", "Pad"),
    *("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Split", "Slice"),
)
"""Operators with int8 kernels; the others (softmax, layer normalisation, gathers) lose more than they win."""

ELEMENTWISE = ("Cast", "Mul", "Add", "Sub", "Div")
"""What normalisation is made of."""

BATCH = 32
PERCENTILE = 99.99
"""Share of an activation's values, in percent, inside the range that `calibration: percentile` chooses."""

METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}
TYPES = {"u8": QuantType.QUInt8, "s8": QuantType.QInt8}


def quantize(
    model_path: Path | str, out: Path | str, calibration: np.ndarray, scheme: Scheme, settings: Quantize
) -> None:
    """Write the int8 version of the ONNX file ``model_path`` to ``out``.

    ``calibration``: raw inputs (N, ...), of which the first ``settings.samples`` are used.
    """
    with tempfile.TemporaryDirectory() as folder:
        prepared, quantized = Path(folder) / "prepared.onnx", Path(folder) / "quantized.onnx"
        quant_pre_process(model_path, prepared, skip_symbolic_shape=True)
        with redirect_stdout(io.StringIO()):  # calibration tells its progress
            quantize_static(
                prepared,
                quantized,
                _Batches(calibration[: settings.samples]),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(OPERATORS),
                per_channel=scheme.per_channel,
                reduce_range=scheme.weight_bits == 7,
                activation_type=TYPES[scheme.activations],
                weight_type=QuantType.QInt8,
                nodes_to_exclude=_normalisation(onnx.load(prepared).graph),
                calibrate_method=METHODS[settings.calibration],
                extra_options=_options(scheme),
            )
        model = ir.load(quantized)
        _float_logits(model.graph)
        compact(model)
        with draft(Path(out)) as file:
            ir.save(model, file)
            onnx.checker.check_model(str(file), full_check=True)


def _options(scheme: Scheme) -> dict[str, Any]:
    return {
        "ActivationSymmetric": scheme.symmetric_activations,
        # Otherwise percentile calibration would give half of the range after a ReLU to values that never come.
        "CalibTensorRangeSymmetric": scheme.symmetric_activations,
        "CalibPercentile": PERCENTILE,
        # One batch of activations in memory at a time, for every method.
        "CalibStridedMinMax": 1,
        "WeightSymmetric": True,
        "QuantizeBias": scheme.quantize_bias,
    }


class _Batches(CalibrationDataReader):
    """The calibration samples in batches; the quantizer asks for one batch after the other through ``set_range``."""

    def __init__(self, samples: np.ndarray) -> None:
        self._batches = [samples[start : start + BATCH] for start in range(0, len(samples), BATCH)]
        self._pending = iter(self._batches)

    def __len__(self) -> int:
        return len(self._batches)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._pending = iter(self._batches[start_index:end_index])

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._pending, None)
        return None if batch is None else {"input": np.ascontiguousarray(batch)}


def _normalisation(graph: onnx.GraphProto) -> list[str]:
    """Names of the elementwise nodes between the input and the first real layer."""
    constants = {tensor.name for tensor in graph.initializer}
    reached, names = {"input"}, []
    for node in graph.node:
        if node.op_type in ELEMENTWISE and reached & set(node.input) and set(node.input) <= reached | constants:
            reached |= set(node.output)
            names.append(node.name)
    return names


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
