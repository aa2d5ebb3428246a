"""Tiny models made on the spot, and recorded file systems made from a dictionary."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest
from onnx import TensorProto, helper, numpy_helper


def save_onnx(path: Path, nodes: list, inputs: list, outputs: list, weights: dict[str, np.ndarray]) -> Path:
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, path.stem, inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def save_xml(onnx_path: Path) -> Path:
    path = onnx_path.with_suffix(".xml")
    openvino.save_model(openvino.Core().read_model(onnx_path), path, compress_to_fp16=False)
    return path


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of `pixels`, `two` and `same`, each as .onnx and .xml."""
    folder = tmp_path_factory.mktemp("models")
    random = np.random.default_rng(0)
    pixels = save_onnx(  # uint8 (batch, 1, 8, 8) -> logits (batch, 10): cast, convolution, dense
        folder / "pixels.onnx",
        [
            helper.make_node("Cast", ["input"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("Conv", ["float", "kernel"], ["features"]),
            helper.make_node("Relu", ["features"], ["positive"]),
            helper.make_node("Flatten", ["positive"], ["flat"]),
            helper.make_node("MatMul", ["flat", "dense"], ["logits"]),
        ],
        [helper.make_tensor_value_info("input", TensorProto.UINT8, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])],
        {
            "kernel": random.normal(size=(4, 1, 3, 3)).astype(np.float32),
            "dense": random.normal(size=(144, 10)).astype(np.float32),
        },
    )
    two = save_onnx(  # left, right float32 (n,) -> sum, difference
        folder / "two.onnx",
        [
            helper.make_node("Add", ["left", "right"], ["sum"]),
            helper.make_node("Sub", ["left", "right"], ["difference"]),
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("left", "right")],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("sum", "difference")],
        {},
    )
    same = save_onnx(  # int32 (n,) -> the same: what an engine may be tempted to hand back without a copy
        folder / "same.onnx",
        [helper.make_node("Identity", ["x"], ["y"])],
        [helper.make_tensor_value_info("x", TensorProto.INT32, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, ["n"])],
        {},
    )
    for path in (pixels, two, same):
        save_xml(path)
    return folder


@pytest.fixture(scope="session")
def heavy_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """float32 (batch, 1000) -> (batch, 10000), with 40 MB of weights."""
    return save_onnx(
        tmp_path_factory.mktemp("heavy") / "heavy.onnx",
        [helper.make_node("MatMul", ["input", "dense"], ["logits"])],
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 1000])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10000])],
        {"dense": np.random.default_rng(0).normal(size=(1000, 10000)).astype(np.float32)},
    )


@pytest.fixture(scope="session")
def saturating_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """float32 (batch, 64) -> (batch, 1), quantized: the sum of its inputs times 127, in u8 x s8 arithmetic."""
    return save_onnx(
        tmp_path_factory.mktemp("saturating") / "saturating.onnx",
        [
            helper.make_node("QuantizeLinear", ["input", "scale", "zero_u8"], ["quantized"]),
            helper.make_node("DequantizeLinear", ["quantized", "scale", "zero_u8"], ["activation"]),
            helper.make_node("DequantizeLinear", ["dense", "scale", "zero_s8"], ["weight"]),
            helper.make_node("MatMul", ["activation", "weight"], ["logits"]),
        ],
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1])],
        {
            "scale": np.array(1, np.float32),
            "zero_u8": np.array(0, np.uint8),
            "zero_s8": np.array(0, np.int8),
            "dense": np.full((64, 1), 127, np.int8),
        },
    )


@pytest.fixture
def record(tmp_path: Path) -> Callable[[dict[str, str]], Path]:
    """Make a file system of these files, and return its root."""

    def write(files: dict[str, str]) -> Path:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write
