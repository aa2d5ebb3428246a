"""From what a user names to what a plan says of it: the files that a model needs, and files that are no models."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compress.bench.benchmark.models import given, planned
from compress.errors import BenchmarkError


def save(path, location):
    """A matrix product whose weights lie in a file beside it."""
    weights = numpy_helper.from_array(np.ones((64, 64), np.float32), "w")
    shape = ["batch", 64]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path, save_as_external_data=True, location=location, size_threshold=0)


def planned_as(*words):
    models, files = planned(given(words))
    return models, files


def test_the_plan_names_the_files_that_a_model_needs_whatever_they_are_called(tmp_path):
    save(tmp_path / "net.onnx", "net.weights")
    (tmp_path / "net.onnx.data").write_bytes(b"of another model")
    (tmp_path / "ir.xml").write_text("<net/>")
    (tmp_path / "ir.bin").write_bytes(b"w")
    (tmp_path / "lite.tflite").write_bytes(b"t")
    models, files = planned_as(*(str(tmp_path / name) for name in ("net.onnx", "ir.xml", "lite.tflite")))
    assert [model.beside for model in models] == [("net.weights",), ("ir.bin",), ()]
    assert set(files) == {
        "models/0/net.onnx", "models/0/net.weights", "models/1/ir.xml", "models/1/ir.bin", "models/2/lite.tflite",
    }  # fmt: skip


def test_external_data_outside_of_the_models_folder_leaves_the_plan_alone(tmp_path):
    """Engines refuse it; and nothing of a user's may be put beside the plan's folder."""
    (tmp_path / "secret").write_bytes(b"s")
    (tmp_path / "in").mkdir()
    save(tmp_path / "in/net.onnx", "w")
    model = onnx.load(tmp_path / "in/net.onnx", load_external_data=False)
    (entry,) = (e for e in model.graph.initializer[0].external_data if e.key == "location")
    for place in ("../secret", str(tmp_path / "secret")):
        entry.value = place
        (tmp_path / "in/net.onnx").write_bytes(model.SerializeToString())
        (one,), files = planned_as(str(tmp_path / "in/net.onnx"))
        assert (one.beside, set(files)) == ((), {"models/0/net.onnx"})


@pytest.mark.parametrize("name", ["model.safetensors", "adapter.safetensors"])
def test_weights_of_another_program_are_refused_before_anything_runs(tmp_path, name):
    (tmp_path / name).write_bytes(b"weights")
    with pytest.raises(BenchmarkError, match=r"weights alone are no network.*model\.json beside it"):
        given([str(tmp_path / name)])


def test_a_saved_network_is_taken(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "model.json").write_text("{}")
    (one,), _ = planned_as(str(tmp_path / "model.safetensors"))
    assert (one.runtime, one.beside) == ("pytorch", ("model.json",))
