"""Files for engines beside PyTorch: ONNX, and TensorRT's engine, which is built from it for this GPU."""

from __future__ import annotations

import logging
import warnings
from importlib.util import find_spec
from pathlib import Path

import torch

from .refused import Refused
from .ways import Job

TALKATIVE = "torch.onnx._internal.exporter._registration"
"""Says for every operator of torchvision that there is no torchvision."""

INPUT, OUTPUT = "input", "logits"


def onnx(job: Job) -> None:
    """Export the network for ONNX Runtime."""
    if find_spec("onnxruntime") is None:
        raise Refused("missing", "ONNX Runtime is not installed: python -m pip install onnxruntime-gpu")
    _export(job)


def tensorrt(job: Job) -> None:
    """Build an engine with one optimization profile a batch: TensorRT chooses kernels for exactly these."""
    if find_spec("tensorrt") is None:
        raise Refused("missing", "TensorRT is not installed: python -m pip install tensorrt")
    if not job.hardware.cuda:
        raise Refused("no-device", "TensorRT needs a CUDA device, and this is the CPU")
    file = job.stem.with_suffix(".engine")
    if file.exists():
        return
    import tensorrt as trt

    log = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(log)
    # TensorRT 11 knows no networks but strongly typed ones, and may drop the flag.
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if flag is None else 1 << int(flag))
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(_export(job))):
        raise Refused("failed", "; ".join(parser.get_error(index).desc() for index in range(parser.num_errors)))
    configuration = builder.create_builder_config()
    if job.way.precision == "fp32":
        configuration.clear_flag(trt.BuilderFlag.TF32)
    for batch in job.batches:
        profile = builder.create_optimization_profile()
        profile.set_shape(INPUT, *[(batch, *job.network.shape)] * 3)
        configuration.add_optimization_profile(profile)
    built = builder.build_serialized_network(network, configuration)
    if built is None:
        raise Refused("failed", f"TensorRT {trt.__version__} builds no engine of this network; its words are above")
    file.write_bytes(bytes(built))


def _export(job: Job) -> Path:
    """The network as ONNX in its number format, any batch. TF32 is a mode of the engine, not of the file."""
    file = job.folder / f"{'fp16' if job.way.precision == 'fp16' else 'fp32'}.onnx"
    if file.exists():
        return file
    if missing := [name for name in ("onnx", "onnxscript") if find_spec(name) is None]:
        raise Refused(
            "missing",
            f"PyTorch writes ONNX with {' and '.join(missing)}: python -m pip install {' '.join(missing)}",
        )
    logging.getLogger(TALKATIVE).setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter to itself, about its own older interfaces
        program = torch.onnx.export(
            job.module().cpu(),
            (job.example(2).cpu(),),
            dynamo=True,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    draft = file.with_suffix(".draft.onnx")
    program.save(draft)
    draft.rename(file)
    return file
