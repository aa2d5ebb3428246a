"""Static post-training quantization: scales are fixed from calibration samples before the network ships.

On the ONNX graph::

    float -> prepared -> equalized? -> smoothed? -> ranges -> QDQ -> learned rounding? -> biases corrected? -> file

ONNX Runtime and TensorRT take the QDQ file; OpenVINO's reader turns it into IR. LiteRT has a quantizer of its own.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir

from compress.quantize import litert
from compress.quantize.corrections import bias, equalize, rounding, smooth
from compress.quantize.graph import onnxruntime, ranges
from compress.quantize.graph.to_openvino import to_openvino
from compress.targets import tensorrt

if TYPE_CHECKING:
    from compress.quantize.job import Job


def quantize(job: Job) -> list[str]:
    """Write ``job.out``. Returns lines for the report: what was decided, and why.

    Raises :class:`compress.errors.DataError` for calibration samples that the network cannot take, and
    :class:`compress.errors.QuantizationError` for one that is quantized already; then nothing is written.
    """
    if job.runtime == "litert":
        return litert.quantize(job)
    model, story = qdq_graph(job)
    if job.runtime == "openvino":
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "model.onnx"
            onnxruntime.finish(model, file)
            to_openvino(file, job.out)
        return story
    removed = tensorrt.fusible(model) if job.runtime == "tensorrt" else 0
    onnxruntime.finish(model, job.out)
    return [*story, *_tensorrt_words(job, removed)] if job.runtime == "tensorrt" else story


def qdq_graph(job: Job) -> tuple[ir.Model, list[str]]:
    """The quantized graph, names as in the float file, and the story."""
    settings, scheme = job.settings, job.scheme
    prepared, story = float_graph(job)
    found = ranges.collect(prepared, job.calibration, settings.calibration, scheme)
    quantized = onnxruntime.build(prepared, found, scheme)
    return quantized, story + correct(quantized, prepared, job)


def float_graph(job: Job) -> tuple[onnx.ModelProto, list[str]]:
    """The float network as it will be quantized: prepared, and made easier to quantize where the recipe says so."""
    settings = job.settings
    prepared = onnxruntime.prepare(job.onnx)
    ranges.check(prepared, job.calibration)
    story: list[str] = []
    if settings.equalize or settings.smooth is not None:
        model = ir.from_proto(prepared)
        if settings.equalize:
            story += equalize.equalize(model)
        if settings.smooth is not None:
            story += smooth.smooth(model, job.calibration, settings.smooth)
        prepared = onnx.shape_inference.infer_shapes(ir.to_proto(model))
    return prepared, story


def correct(quantized: ir.Model, prepared: onnx.ModelProto, job: Job) -> list[str]:
    """What comes after rounding, in place: learned rounding, then the biases that are left wrong."""
    settings, original, story = job.settings, ir.from_proto(prepared), []
    if settings.rounding == "learned":
        story += rounding.learn(quantized, original, job.calibration, job.scheme, job.on_batch)
    if settings.bias_correction:
        story += bias.correct(quantized, original, job.calibration, job.on_batch)
    return story


def _tensorrt_words(job: Job, removed: int) -> list[str]:
    """Whether TensorRT's parser takes the file, where it can be asked."""
    checked = tensorrt.check(job.out)
    if checked.accepted is False:
        job.say(checked.words)
    return [f"{removed} pairs in the way of TensorRT's fusions removed", checked.words]
