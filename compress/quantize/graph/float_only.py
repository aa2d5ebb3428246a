"""What storing smaller numbers starts from: a float network. One that has smaller numbers already is refused."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir
import openvino

from compress.errors import QuantizationError
from compress.quantize.graph import qdq
from compress.quantize.graph.read import read_graph
from edge_runtime.sessions.openvino_core import core

LEAST = 64
"""Elements; in smaller constants the nodes that widen them would take more than is saved."""

_SMALL = (
    *(ir.DataType.INT8, ir.DataType.UINT8, ir.DataType.INT4, ir.DataType.UINT4),
    *(ir.DataType.FLOAT16, ir.DataType.BFLOAT16),
)
_SMALL_OPENVINO = tuple(getattr(openvino.Type, name) for name in ("i8", "u8", "i4", "u4", "nf4", "f16", "bf16"))


def read_onnx(path: Path | str) -> ir.Model:
    """The graph. Raises :class:`QuantizationError` when it is quantized or stored in 16 bits already, or no graph."""
    model = read_graph(path)
    constants = (value.const_value for value in model.graph.initializers.values())
    small = {tensor.dtype.name for tensor in constants if tensor.dtype in _SMALL and tensor.size >= LEAST}
    if small or qdq.is_quantized(model):
        _refuse(Path(path), small or {"quantized operators"})
    return model


def read_openvino(path: Path | str) -> openvino.Model:
    """The graph. Raises :class:`QuantizationError` when it is quantized or stored in 16 bits already."""
    model = core().read_model(path)
    small = {
        node.get_element_type().get_type_name()
        for node in model.get_ops()
        if node.get_type_name() == "Constant" and node.get_element_type() in _SMALL_OPENVINO and elements(node) >= LEAST
    }
    if small or any(node.get_type_name() == "FakeQuantize" for node in model.get_ops()):
        _refuse(Path(path), small or {"FakeQuantize"})
    return model


def elements(node: openvino.Node) -> int:
    """How many numbers a node of one output with a fixed shape gives."""
    count = 1
    for size in node.get_output_shape(0):
        count *= size
    return count


def runs_on(runtime: str, runtimes: tuple[str, ...], what: str) -> None:
    """Raise :class:`QuantizationError` unless ``runtime`` is among ``runtimes``."""
    if runtime not in runtimes:
        raise QuantizationError(f"{what} is not made for {runtime}; runtimes that have it: {', '.join(runtimes)}")


def _refuse(path: Path, found: set[str]) -> None:
    listed = ", ".join(sorted(name.lower() for name in found))
    raise QuantizationError(f"{path.name} is quantized already ({listed}): give the float model")
