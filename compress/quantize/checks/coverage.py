"""Really int8? What runs of a quantized file in integers, what does not and why, and how its weights are stored.

A file says what should be quantized; the runtime decides. So ONNX Runtime's optimised graph and OpenVINO's compiled one
are read where these runtimes are here, and the file alone, by the runtime's published rules, where that tells all
(LiteRT) or the runtime is elsewhere (TensorRT).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from compress.quantize.checks import coverage_litert, coverage_onnx, coverage_openvino
from compress.quantize.checks.covered import Coverage, Layer

if TYPE_CHECKING:
    from compress.targets.scheme import Scheme

__all__ = ["Coverage", "Layer", "int8_coverage"]

Arch = Literal["x86_64", "aarch64"]


def int8_coverage(
    path: Path, scheme: Scheme | None = None, *, kept: Mapping[str, str] | None = None, arch: Arch | None = None
) -> Coverage:
    """Describe an ONNX file, an OpenVINO IR (.xml) or a LiteRT file (.tflite).

    ``scheme``: that the file was made by; its runtime decides who reads an ONNX file, its operators what could be int8.
    ``kept``: layers left in float on purpose, by name, with the reason. ``arch``: whose sessions are asked about
    (ONNX Runtime fuses s8 activations on ARM everywhere, on x86 in places); without it, files with s8 activations are
    taken to be for ARM unless the scheme's sums are those of x86.
    Raises :class:`compress.errors.QuantizationError` when the runtime does not load the file.
    """
    path, kept = Path(path), dict(kept or {})
    if path.suffix == ".xml":
        return coverage_openvino.read(path, kept)
    if path.suffix == ".tflite":
        return coverage_litert.read(path, kept)
    if scheme is not None and scheme.runtime == "tensorrt":
        return coverage_onnx.read_alone(path, kept)
    narrow = scheme is not None and scheme.accumulate == "int16-pairs"
    return coverage_onnx.read(path, kept, scheme, arch or ("x86_64" if narrow else None))
