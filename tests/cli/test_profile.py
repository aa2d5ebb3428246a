from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper


@pytest.fixture
def model(tmp_path, monkeypatch):
    """float32 (batch, 64, open) -> (batch, 32, open)."""
    monkeypatch.chdir(tmp_path)
    weights = numpy_helper.from_array(np.ones((32, 64, 3), np.float32), "kernel")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["input", "kernel"], ["output"], name="only", pads=[1, 1])],
        "one",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 64, "time"])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 32, "time"])],
        [weights],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), "one.onnx")
    return tmp_path / "one.onnx"


@pytest.mark.integration
@pytest.mark.parametrize(("runtime", "axis"), [("onnxruntime", "time"), ("openvino", "input.2")])
def test_a_model_is_profiled_in_a_process_of_its_own(model, call, runtime, axis):
    found = call("profile", model, "--runtime", runtime, "--axis", f"{axis}=50", "--no-peaks")
    assert found.exit_code == 0
    assert f"one, {runtime} " in found.output
    assert "(1, 64, 50)" in found.output
    assert "without the profiler (median)" in found.output
    assert "None: no peak rates were measured." in found.output


@pytest.mark.integration
def test_json_goes_to_a_file_or_to_standard_output(model, call, tmp_path):
    asked = ("profile", model, "--axis", "time=50", "--no-peaks", "--json")
    found = call(*asked, "-")
    printed = json.loads(found.stdout)
    assert sum(layer["macs"] or 0 for layer in printed["layers"]) == 50 * 32 * 64 * 3
    assert call(*asked, tmp_path / "layers.json").exit_code == 0
    assert json.loads((tmp_path / "layers.json").read_text())["schema"] == "compress.profile/1"


@pytest.mark.integration
def test_a_damaged_model_is_refused_with_the_engines_words(model, call):
    model.write_bytes(b"none")
    found = call("profile", model, "--no-peaks")
    assert found.exit_code != 0
    assert "one has no profile" in found.output
    assert "Traceback" not in found.output


@pytest.mark.integration
@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--axis", "tim=50"), "--axis tim: no model leaves an axis of that name open; open are batch, time"),
        (("--threads", 1024), "--threads 1024: the machine has "),
    ],
)
def test_what_the_model_or_the_machine_cannot_take_is_refused(model, call, option, said):
    found = call("profile", model, "--no-peaks", *option)
    assert found.exit_code == 2
    assert said in found.stderr


def test_a_missing_file_is_named_before_anything_runs(call, tmp_path):
    found = call("profile", tmp_path / "none.onnx")
    assert found.exit_code != 0
    assert "none.onnx: there is no such file" in found.output


def test_a_runtime_that_is_none_is_refused(model, call):
    found = call("profile", model, "--runtime", "onnx")
    assert found.exit_code == 2
    assert "onnxruntime" in found.output
