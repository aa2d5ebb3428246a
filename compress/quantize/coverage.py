"""How much of a quantized file really runs in int8: counted in the graph that the runtime makes of it."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnxruntime

INT8 = ("QLinearConv", "QGemm", "QLinearMatMul", "MatMulIntegerToFloat", "MatMulInteger", "ConvInteger")
FLOAT = ("Conv", "FusedConv", "NhwcFusedConv", "ConvTranspose", "Gemm", "FusedGemm", "MatMul", "FusedMatMul")
"""ONNX Runtime's operators for convolutions and matrix products."""

LAYERS = ("Convolution", "Deconvolution", "FullyConnected", "MatMul")
"""OpenVINO's, whatever they compute in."""


@dataclass(frozen=True)
class Coverage:
    """Convolutions and matrix products by operator, and the conversions left between them.

    ``int8``, ``floating``: operator to count. ``conversions``: quantizers and dequantizers that did not fuse.
    """

    int8: dict[str, int]
    floating: dict[str, int]
    conversions: int

    @property
    def complete(self) -> bool:
        return bool(self.int8) and not self.floating

    @property
    def words(self) -> str:
        quick, slow = sum(self.int8.values()), sum(self.floating.values())
        listed = ", ".join(f"{count} {operator}" for operator, count in self.floating.items())
        left = f"; still float: {listed}" if listed else ""
        return f"{quick} of {quick + slow} convolutions and matrix products run in int8{left}"


def int8_coverage(path: Path) -> Coverage:
    """Count in an ONNX file or an OpenVINO IR (.xml), after all optimisations of a default session on this machine."""
    return _openvino(path) if path.suffix == ".xml" else _onnxruntime(path)


def _onnxruntime(path: Path) -> Coverage:
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        if _signed_activations(onnx.load(path).graph):
            # The file is made for ARM, whose sessions fuse s8 convolutions; x86's fuse only some. Count as there.
            options.add_session_config_entry("session.qdqisint8allowed", "1")
        # Warns that the saved graph fits this machine only; it is read once, here.
        options.log_severity_level = 3
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        graph = onnx.load(options.optimized_model_filepath).graph
    counts = Counter(node.op_type for node in graph.node)
    return Coverage(
        int8={name: counts[name] for name in INT8 if counts[name]},
        floating={name: counts[name] for name in FLOAT if counts[name]},
        conversions=counts["QuantizeLinear"] + counts["DequantizeLinear"],
    )


def _signed_activations(graph: onnx.GraphProto) -> bool:
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    quantizers = (node for node in graph.node if node.op_type == "QuantizeLinear" and len(node.input) > 2)
    return any(types.get(node.input[2]) == onnx.TensorProto.INT8 for node in quantizers)


def _openvino(path: Path) -> Coverage:
    import openvino

    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    counts: Counter[tuple[str, bool]] = Counter()
    for node in compiled.get_runtime_model().get_ops():
        facts = node.get_rt_info()
        counts[facts["layerType"].astype(str), facts["primitiveType"].astype(str).endswith("I8")] += 1
    return Coverage(
        int8={name: counts[name, True] for name in LAYERS if counts[name, True]},
        floating={name: counts[name, False] for name in LAYERS if counts[name, False]},
        conversions=sum(counts["FakeQuantize", kind] for kind in (True, False)),
    )
