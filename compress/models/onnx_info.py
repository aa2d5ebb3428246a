"""What an ONNX teacher says about itself, and whether it fits the data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import ValueInfoProto, helper

from compress.data.dataset import Dataset
from compress.errors import ModelError
from compress.models.counts import count_onnx
from compress.targets.onnx_domains import foreign

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class TensorInfo:
    """One input or output; ``shape`` has None for free axes."""

    name: str
    dtype: np.dtype
    shape: Shape


@dataclass(frozen=True)
class OnnxInfo:
    """An ONNX file from outside. ``opset``: of the standard operators; ``producer``: who wrote it."""

    path: Path
    input: TensorInfo
    output: TensorInfo
    opset: int
    params: int
    macs: int
    producer: str


def info(path: Path) -> OnnxInfo:
    """Read ``path``, running nothing. Raises :class:`ModelError` if it is damaged, has several inputs or outputs, or
    operators that no runtime knows."""
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    try:
        onnx.checker.check_model(str(path))
        model = onnx.load(path, load_external_data=False)
    except (onnx.checker.ValidationError, DecodeError, OSError) as error:
        raise ModelError(f"{path}: not a valid ONNX file ({str(error).strip().splitlines()[0]})") from error
    if why := foreign(path):
        raise ModelError(f"{path}: {why}")
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [_tensor(value) for value in model.graph.input if value.name not in weights]
    outputs = [_tensor(value) for value in model.graph.output]
    for what, found in (("input", inputs), ("output", outputs)):
        if len(found) != 1:
            names = ", ".join(tensor.name for tensor in found) or "none"
            raise ModelError(f"{path}: exactly one {what} is expected, it has {len(found)} ({names}); export only one")
    counts = count_onnx(path)
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    producer = f"{model.producer_name} {model.producer_version}".strip()
    return OnnxInfo(path, inputs[0], outputs[0], opset, counts.params, counts.macs, producer)


def check(found: OnnxInfo, dataset: Dataset) -> None:
    """Raise :class:`ModelError` unless the file takes the data's inputs (N, C, H, W) and gives one logit a class."""
    wanted = (None, *dataset.input_shape)
    given = found.input.shape
    if len(given) != 4 or not _fits(given[1:], wanted[1:]):
        channels_last = (*wanted[2:], wanted[1])
        hint = "export it again for this size"
        if len(given) == 4 and _fits(given[1:], channels_last):
            hint = "its channels come last (N, H, W, C); export it again with channels first"
        raise ModelError(
            f"{found.path}: input {found.input.name} has shape {_text(given)} but the data is {_text(wanted)}; {hint}"
        )
    dtype = dataset.test.inputs.dtype
    if found.input.dtype != dtype and found.input.dtype.kind != "f":
        raise ModelError(f"{found.path}: input {found.input.name} is {found.input.dtype}, the data is {dtype}")
    classes = len(dataset.classes)
    if len(found.output.shape) != 2 or found.output.shape[1] not in (None, classes):
        raise ModelError(
            f"{found.path}: output {found.output.name} has shape {_text(found.output.shape)}; {_text((None, classes))} "
            f"is expected, one logit for each of the data's {classes} classes"
        )
    if found.output.dtype.kind != "f":
        raise ModelError(f"{found.path}: output {found.output.name} is {found.output.dtype}: logits are floats")


def _tensor(value: ValueInfoProto) -> TensorInfo:
    kind = value.type.tensor_type
    dims = tuple(d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim)
    return TensorInfo(value.name, np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type)), dims)


def _fits(given: Shape, wanted: Shape) -> bool:
    return all(g is None or g == w for g, w in zip(given, wanted, strict=True))


def _text(shape: Shape) -> str:
    free = ["N", *["any"] * len(shape)]
    return f"({', '.join(name if size is None else str(size) for size, name in zip(shape, free, strict=False))})"
