"""A file of an ONNX graph to `onnx_ir`, or an error with the file's name."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir

from compress.errors import QuantizationError


def read_graph(path: Path | str) -> ir.Model:
    """Raises :class:`QuantizationError` for a file that is no ONNX model. Weights beside the file are not read."""
    try:
        return ir.load(path)
    except Exception as error:  # whatever protobuf and onnx_ir make of other bytes
        raise QuantizationError(f"{path}: this is no ONNX file: {error}") from error
