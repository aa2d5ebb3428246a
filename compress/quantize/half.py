"""16-bit floats: half the file, next to no loss, no calibration.

AOTInductor packages and, in fp16, the ONNX files for TensorRT and the CUDA provider are written anew, to compute in 16
bits behind the normalisation. ONNX Runtime and OpenVINO on a processor get weights of 16 bits:

Constants become fp16 or bf16 behind a Cast (ONNX) or Convert (OpenVINO) to float, which both runtimes fold when they
load the file: speed and memory are float's. Why not arithmetic in 16 bits?

- fp16: ONNX Runtime's CPU provider has few such kernels and casts around the others. The network converted as a whole
  (onnxruntime.transformers.float16) took 1.16 times float's time (EfficientNet-Lite0, AVX2, one thread), this one 0.99.
  OpenVINO computes in whatever its hint INFERENCE_PRECISION says and the CPU has, whatever the file holds.
- bf16: ONNX Runtime's CPU provider has no such kernels at all.

fp16 ends at 65504. Constants beyond that stay in float (OpenVINO's own conversion cuts them off in silence), and the
largest activation of the calibration samples is told, because hardware that computes in fp16 would overflow there.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
import openvino
from onnx import TensorProto, helper

from compress.errors import QuantizationError
from compress.quantize import method
from compress.quantize.graph import qdq
from compress.quantize.graph.float_only import LEAST, elements, read_onnx, read_openvino, runs_on
from compress.quantize.weight_only import RUNTIMES, write
from compress.targets.openvino import save
from edge_runtime import open_session

if TYPE_CHECKING:
    from compress.quantize.job import Job

LARGEST = float(np.finfo(np.float16).max)
"""65504; bf16 reaches as far as float does."""

BATCH = 32
DTYPES = {"fp16": np.dtype(np.float16), "bf16": ir.DataType.BFLOAT16.numpy()}


def quantize(job: Job) -> list[str]:
    """Write ``job.out`` with weights of ``job.settings.to``. Returns lines for the report.

    Raises :class:`QuantizationError` for a network that is quantized already, a runtime without such files, and
    activations that are not finite.
    """
    to = job.settings.to
    if job.runtime in method(job.settings).rewrites:
        return _rewritten(job)
    runs_on(job.runtime, RUNTIMES, to)
    largest, where = largest_activation(job.onnx, job.calibration)
    narrow = _narrow_openvino if job.runtime == "openvino" else _narrow_onnx
    stored, kept = narrow(job.model, job.out, to)
    story = [f"{stored} constants are stored as {to} and widened to float when loaded: speed and memory are float's"]
    if kept:
        story.append(f"{kept} constants stay in float, because they hold numbers beyond fp16's {LARGEST:.0f}")
        job.say(story[-1])
    if to == "fp16":
        story.append(_range_words(job, largest, where))
        if largest > LARGEST:
            story[-1] += ": hardware that computes in fp16 overflows there; use bf16 for it"
            job.say(story[-1])
    return story


def _rewritten(job: Job) -> list[str]:
    from compress.targets import aotinductor
    from compress.targets import onnx as onnx_export

    to = job.settings.to
    if job.network is None:
        raise QuantizationError(f"{to} for {job.runtime} is written from PyTorch, and there is no PyTorch network")
    story = [f"computes in {to} behind the normalisation; answers leave as float"]
    if to == "fp16":
        largest, where = largest_activation(job.onnx, job.calibration)
        story.append(_range_words(job, largest, where))
        if largest > LARGEST:
            raise QuantizationError(f"{story[-1]}: it would overflow; use bf16 where the runtime takes it")
    example = job.calibration[:1]
    if job.runtime == "aotinductor":
        aotinductor.export(job.network(), example, job.out, precision=to, device=job.device)
    else:
        onnx_export.export(job.network(), example, job.out, precision=to)
    return story


def _range_words(job: Job, largest: float, where: str) -> str:
    return (
        f"the largest activation of {len(job.calibration)} samples is {largest:.4g}, in '{where}'; fp16 ends at "
        f"{LARGEST:.0f}"
    )


def largest_activation(model_path: Path, inputs: np.ndarray) -> tuple[float, str]:
    """The largest absolute value that any float tensor of the ONNX file takes, and the node that makes it.

    ``inputs``: raw (N, ...), of which a batch at a time is in memory. Raises :class:`QuantizationError` for values that
    are not finite, in float already.
    """
    model = onnx.shape_inference.infer_shapes(onnx.load(model_path))
    graph = model.graph
    floats = {v.name for v in (*graph.value_info, *graph.output) if v.type.tensor_type.elem_type == TensorProto.FLOAT}
    makers = {}
    for node in list(graph.node):
        for name in floats & set(node.output):
            peak = f"peak_{len(makers)}"
            graph.node.append(helper.make_node("Abs", [name], [f"{peak}_abs"]))
            graph.node.append(helper.make_node("ReduceMax", [f"{peak}_abs"], [peak], keepdims=0))
            graph.output.append(helper.make_tensor_value_info(peak, TensorProto.FLOAT, []))
            makers[peak] = node.name or node.op_type
    peaks = dict.fromkeys(makers, 0.0)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "peaks.onnx"
        onnx.save(model, file)
        with open_session(file, "onnxruntime") as session:
            for start in range(0, len(inputs), BATCH):
                found = session.run({session.inputs[0].name: np.ascontiguousarray(inputs[start : start + BATCH])})
                for name, highest in peaks.items():
                    peaks[name] = float(np.maximum(highest, found[name]))  # keeps NaN
    ruined = [makers[name] for name, value in peaks.items() if not np.isfinite(value)]
    if ruined:
        raise QuantizationError(
            f"{model_path.name}: layer '{ruined[0]}' gives numbers that are not finite, in float too"
        )
    name = max(peaks, key=peaks.__getitem__)
    return peaks[name], makers[name]


def _fits(array: np.ndarray, to: str) -> bool:
    return to == "bf16" or bool(np.abs(array).max() <= LARGEST)


def _narrow_onnx(source: Path, out: Path, to: str) -> tuple[int, int]:
    model = read_onnx(source)
    graph, stored, kept = model.graph, 0, 0
    for value in list(graph.initializers.values()):
        if value.const_value.dtype != ir.DataType.FLOAT or value.const_value.size < LEAST:
            continue
        array = qdq.stored(value)
        if not _fits(array, to):
            kept += 1
            continue
        stored += 1
        narrow = qdq.constant(graph, f"{value.name}_{to}", array.astype(DTYPES[to]))
        cast = ir.node("Cast", [narrow], {"to": ir.DataType.FLOAT.value})
        cast.outputs[0].name = f"{value.name}_wide"
        graph.insert_before(graph[0], [cast])
        value.replace_all_uses_with(cast.outputs[0])
        del graph.initializers[value.name]
    write(model, out)
    return stored, kept


def _narrow_openvino(source: Path, out: Path, to: str) -> tuple[int, int]:
    from openvino import opset13

    model = read_openvino(source)
    stored = kept = 0
    for node in model.get_ordered_ops():
        floats = node.get_type_name() == "Constant" and node.get_element_type() == openvino.Type.f32
        if not floats or elements(node) < LEAST:
            continue
        array = node.data
        if not _fits(array, to):
            kept += 1
            continue
        stored += 1
        tensor = openvino.Tensor(openvino.Type.f16 if to == "fp16" else openvino.Type.bf16, list(array.shape))
        tensor.data[...] = array.astype(DTYPES[to]).view(np.float16)  # as which OpenVINO shows the bits of bf16, too
        wide = opset13.convert(openvino.op.Constant(tensor), "f32")
        wide.set_friendly_name(node.get_friendly_name())
        node.output(0).replace(wide.output(0))
    model.validate_nodes_and_infer_types()
    save(model, out)
    return stored, kept
