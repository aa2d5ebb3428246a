"""QDQ files for TensorRT: pairs in the way of fusion, and TensorRT's own parser where it is installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from compress import isolated
from compress.targets import tensorrt
from edge_runtime import open_session

PIXELS = np.random.default_rng(1).integers(0, 256, (9, 2, 6, 6), np.uint8)
needs_tensorrt = pytest.mark.skipif(
    not isolated.installed("tensorrt"), reason="needs `compress doctor --install tensorrt`"
)


def save(path: Path, between: float = 0.05, zero: int = 0, bias: str = "float") -> Path:
    """Cast, convolution, pair with scale `between`, ReLU, pair with scale 0.05."""
    rng = np.random.default_rng(0)
    weights = {
        "s": np.float32(0.02),
        "s1": np.float32(between),
        "s2": np.float32(0.05),
        "z": np.int8(zero),
        "z0": np.int8(0),
        "w": rng.integers(-127, 128, (3, 2, 3, 3)).astype(np.int8),
        "sw": np.float32([0.001, 0.002, 0.003]),
        "zw": np.zeros(3, np.int8),
        "gain": np.float32(0.01),
        "b": np.float32([0.1, -0.2, 0.3]),
        "bi": np.int32([100, -200, 300]),
        "sb": np.float32([0.00002, 0.00004, 0.00006]),
        "zb": np.zeros(3, np.int32),
    }
    nodes = [
        helper.make_node("Cast", ["input"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["float", "gain"], ["x"]),
        helper.make_node("QuantizeLinear", ["x", "s", "z0"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "s", "z0"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "sw", "zw"], ["wd"], axis=0),
        *([helper.make_node("DequantizeLinear", ["bi", "sb", "zb"], ["bd"], axis=0)] if bias == "int32" else []),
        helper.make_node("Conv", ["xd", "wd", "bd" if bias == "int32" else "b"], ["y"], name="conv"),
        helper.make_node("QuantizeLinear", ["y", "s1", "z"], ["yq"]),
        helper.make_node("DequantizeLinear", ["yq", "s1", "z"], ["yd"]),
        helper.make_node("Relu", ["yd"], ["r"]),
        helper.make_node("QuantizeLinear", ["r", "s2", "z"], ["rq"]),
        helper.make_node("DequantizeLinear", ["rq", "s2", "z"], ["rd"]),
        helper.make_node("Flatten", ["rd"], ["logits"]),
    ]
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "pairs",
        [helper.make_tensor_value_info("input", TensorProto.UINT8, ["batch", 2, 6, 6])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 48])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items() if name in used],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path


def pairs(model: ir.Model) -> int:
    return sum(node.op_type == "QuantizeLinear" for node in model.graph)


def test_the_pair_between_a_layer_and_its_relu_goes_and_the_answers_stay(tmp_path):
    model = ir.load(save(tmp_path / "before.onnx"))
    assert tensorrt.fusible(model) == 1
    assert pairs(model) == 2
    ir.save(model, tmp_path / "after.onnx")
    answers = []
    for name in ("before.onnx", "after.onnx"):
        with open_session(tmp_path / name, optimize=False) as session:
            answers.append(session.predict(PIXELS))
    assert answers[0].any()
    np.testing.assert_array_equal(*answers)


@pytest.mark.parametrize("change", [{"between": 0.04}, {"zero": 3}], ids=["another-scale", "a-zero-point"])
def test_a_pair_that_changes_answers_stays(tmp_path, change):
    model = ir.load(save(tmp_path / "model.onnx", **change))
    assert tensorrt.fusible(model) == 0
    assert pairs(model) == 3


def test_without_the_tool_nothing_is_claimed(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPRESS_ENVIRONMENTS", str(tmp_path / "environments"))
    found = tensorrt.check(save(tmp_path / "model.onnx"))
    assert found.accepted is None
    assert found.words == "not checked with TensorRT's parser: compress doctor --install tensorrt"


@needs_tensorrt
@pytest.mark.integration
def test_tensorrt_builds_an_engine_of_a_qdq_file(tmp_path):
    found = tensorrt.check(save(tmp_path / "model.onnx"))
    assert found.accepted
    assert found.size > 1000
    assert "parses it and builds an engine" in found.words


@needs_tensorrt
@pytest.mark.integration
def test_tensorrt_refuses_integer_biases_and_says_why(tmp_path):
    found = tensorrt.check(save(tmp_path / "model.onnx", bias="int32"))
    assert found.accepted is False
    assert found.problems
    assert "refuses it" in found.words
