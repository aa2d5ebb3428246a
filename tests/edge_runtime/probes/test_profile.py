from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_runtime.errors import ModelFileError, ProbeError, SessionError
from edge_runtime.probes.profile import LEAST_CALLS, profile
from edge_runtime.sessions.onnxruntime_trace import read_trace


def save_onnx(path: Path, nodes: list, inputs: list, outputs: list, weights: dict[str, np.ndarray]) -> Path:
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, path.stem, inputs, outputs, tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.fixture(scope="module")
def lopsided(tmp_path_factory) -> Path:
    """float32 (1, 2, 32, 32): a 1x1 convolution to 8 channels, then one that takes a thousand times as much."""
    folder = tmp_path_factory.mktemp("lopsided")
    random = np.random.default_rng(0)
    path = save_onnx(
        folder / "lopsided.onnx",
        [
            helper.make_node("Conv", ["input", "small"], ["one"], name="first"),
            helper.make_node("Sigmoid", ["one"], ["bounded"], name="between"),
            helper.make_node("Conv", ["bounded", "large"], ["output"], name="second", pads=[3, 3, 3, 3]),
        ],
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 2, 32, 32])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 64, 32, 32])],
        {
            "small": random.normal(size=(8, 2, 1, 1)).astype(np.float32),
            "large": random.normal(size=(64, 8, 7, 7)).astype(np.float32),
        },
    )
    openvino.save_model(openvino.Core().read_model(path), path.with_suffix(".xml"), compress_to_fp16=False)
    return path


def image(channels: int = 2) -> dict[str, np.ndarray]:
    return {"input": np.random.default_rng(0).normal(size=(1, channels, 32, 32)).astype(np.float32)}


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_the_layer_that_has_the_most_to_do_takes_the_most_time(lopsided, suffix):
    found = profile(lopsided.with_suffix(suffix), None, 1, image(), calls=20)
    longest = max(found["layers"], key=lambda layer: layer["seconds"])
    assert longest["type"] in ("Conv", "Convolution")
    assert longest is [layer for layer in found["layers"] if layer["type"] == longest["type"]][-1]
    assert longest["share"] > 0.5
    assert sum(layer["share"] for layer in found["layers"]) == pytest.approx(1)
    assert sum(layer["seconds"] for layer in found["layers"]) == pytest.approx(found["method"]["layers_sum"])


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_layers_sum_to_no_more_than_the_profiled_inference(lopsided, suffix):
    method = profile(lopsided.with_suffix(suffix), None, 1, image(), calls=20)["method"]
    # Not twice as much, as when something counts twice; they are different statistics of a busy machine.
    assert 0 < method["layers_sum"] < 1.7 * max(method["profiled_p50"], method["unprofiled_p50"])
    assert method["calls"] == 20


def test_openvino_tells_multiplications_kernels_and_what_was_fused(lopsided):
    layers = profile(lopsided.with_suffix(".xml"), None, 1, image(), calls=10)["layers"]
    convolutions = [layer for layer in layers if layer["type"] == "Convolution"]
    assert [layer["macs"] for layer in convolutions] == [32 * 32 * 8 * 2, 32 * 32 * 64 * 8 * 49]
    assert all(layer["precision"] == "float32" and layer["kernel"] for layer in convolutions)
    assert {name for layer in layers for name in layer["made_of"]} >= {"first", "between"}


def test_conversions_and_integer_layers_are_told_apart(saturating_model):
    # Of this one ONNX Runtime makes QuantizeLinear, and one product of integers.
    layers = profile(saturating_model, None, 1, {"input": np.ones((1, 64), np.float32)}, calls=10)["layers"]
    kinds = {layer["type"]: layer for layer in layers}
    assert kinds["QuantizeLinear"]["conversion"] == "type"
    product = next(layer for layer in layers if "MatMul" in layer["type"])
    assert (product["precision"], product["conversion"]) == ("int8", None)


def test_it_can_be_sent_as_json_and_names_the_shapes(models):
    found = profile(models / "two.onnx", None, 1, {name: np.ones(3, np.float32) for name in ("left", "right")}, calls=8)
    assert json.loads(json.dumps(found)) == found | {"layers": json.loads(json.dumps(found["layers"]))}
    assert found["inputs"] == {"left": [3], "right": [3]}
    assert (found["runtime"], found["threads"]) == ("onnxruntime", 1)


def test_time_bounds_the_calls_but_not_below_eight(lopsided):
    assert profile(lopsided, None, 1, image(), calls=1000, seconds=1e-6)["method"]["calls"] == LEAST_CALLS


def test_bodies_of_loops_count_once_and_how_often_they_run(tmp_path):
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["state", "square"], ["next"], name="inside"),
            helper.make_node("Identity", ["going"], ["on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("index", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, [256, 256]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [256, 256]),
        ],
    )
    path = save_onnx(
        tmp_path / "loop.onnx",
        [helper.make_node("Loop", ["times", "yes", "x"], ["y"], body=body, name="around")],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [256, 256])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [256, 256])],
        {
            "times": np.array(5, np.int64),
            "yes": np.array(True),
            "square": np.eye(256, dtype=np.float32),
        },
    )
    found = profile(path, None, 1, {"x": np.ones((256, 256), np.float32)}, calls=10)
    layers = {layer["name"]: layer for layer in found["layers"]}
    assert layers["inside"]["calls"] == 5
    assert layers["around"]["seconds"] < 0.5 * layers["inside"]["seconds"]


def test_a_trace_gives_the_middle_of_the_last_calls(tmp_path):
    events = []
    for call, micros in enumerate([900, 10, 11, 12, 400]):  # the first is a warm-up, the last an interruption
        start = 1000 * call
        shapes = {"op_name": "Conv", "provider": "CPUExecutionProvider", "node_index": "3"}
        shapes["input_type_shape"] = [{"float": [1, 2]}]
        events.append({"cat": "Node", "name": "a_kernel_time", "ts": start + 5, "dur": micros, "args": shapes})
        events.append({"cat": "Session", "name": "model_run", "ts": start, "dur": 950, "args": {}})
    (tmp_path / "trace.json").write_text(json.dumps(events))
    (layer,) = read_trace(tmp_path / "trace.json", 4)
    assert layer.seconds == pytest.approx(11.5e-6)
    assert (layer.name, layer.type, layer.kernel, layer.precision, layer.calls) == ("a", "Conv", "CPU", "float32", 1)


def test_a_trace_that_was_cut_short_is_refused(tmp_path):
    (tmp_path / "trace.json").write_text(
        json.dumps([{"cat": "Session", "name": "model_run", "ts": 0, "dur": 9, "args": {}}])
    )
    with pytest.raises(SessionError, match="1 of 50 calls"):
        read_trace(tmp_path / "trace.json", 50)


def test_a_runtime_without_a_profiler_is_refused_and_others_are_named(tmp_path):
    (tmp_path / "model.tflite").write_bytes(b"none")
    with pytest.raises(SessionError, match=r"litert tells no times of layers.*onnxruntime, openvino"):
        profile(tmp_path / "model.tflite", None, 1, {})


def test_a_file_that_is_no_model_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    (tmp_path / "broken.onnx").write_bytes(b"none")
    with pytest.raises(ModelFileError, match="cannot load"):
        profile(tmp_path / "broken.onnx", None, 1, {})
    assert not list((tmp_path / "temporary").iterdir())


def test_no_calls_are_refused(models):
    with pytest.raises(ProbeError, match="at least one call"):
        profile(models / "two.onnx", None, 1, {}, calls=0)


def test_a_session_without_a_profile_is_as_it_was(models):
    # The profiler must not be on unless it is asked for: it would slow every other measurement down.
    from edge_runtime import open_session

    with open_session(models / "pixels.xml") as session:
        session.predict(np.zeros((1, 1, 8, 8), np.uint8))
        assert not any(info.real_time for info in session._request.profiling_info)
