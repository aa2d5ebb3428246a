from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from compress.errors import ExportError
from compress.targets.onnx import export
from compress.training import predict
from edge_runtime import open_session

pytestmark = pytest.mark.integration
PIXELS = np.random.default_rng(3).integers(0, 256, (9, 1, 12, 12), np.uint8)


def operators(path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(path).graph.node)


class Small(nn.Module):
    """A convolution, and a head that a test chooses."""

    def __init__(self, head, features: int) -> None:
        super().__init__()
        self.conv, self.linear, self.head = nn.Conv2d(1, 4, 3, 2), nn.Linear(features, 3), head

    def forward(self, x):
        return self.linear(self.head(torch.relu(self.conv(x.float() / 255))))


@pytest.mark.parametrize("count", [1, 3, 9])
def test_any_batch_gives_pytorchs_logits(exported, network, count):
    with open_session(exported) as session:
        found = session.predict(PIXELS[:count])
    training = network.training
    expected = predict(network, PIXELS[:count])
    network.train(training)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_the_graph_takes_raw_pixels_and_gives_logits(exported):
    with open_session(exported) as session:
        (given,), (got,) = session.inputs, session.outputs
    assert (given.name, given.dtype, given.shape) == ("input", "uint8", ("batch", 1, 12, 12))
    assert (got.name, got.dtype, got.shape[1]) == ("logits", "float32", 4)


def test_batch_normalisation_is_folded_and_flattening_leaves_no_index_arithmetic(exported):
    expected = {"Cast": 1, "Mul": 1, "Conv": 6, "Relu": 5, "Add": 3, "GlobalAveragePool": 1, "Reshape": 1, "Gemm": 1}
    assert operators(exported) == expected


def test_the_file_says_nothing_about_the_machine_it_was_made_on(exported):
    content = exported.read_bytes()
    assert b".py" not in content
    assert b"pkg.torch" not in content


def test_the_model_stays_as_it_was(exported, network):
    assert network.training
    assert network.model.stem[0].weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("head", "features", "expected"),
    [
        (lambda x: x.view(x.shape[0], -1), 100, {"Reshape"}),
        (lambda x: x.reshape(x.size(0), x.size(1), -1).mean(2), 4, {"Reshape", "ReduceMean"}),
        (lambda x: x.mean((2, 3)), 4, {"GlobalAveragePool", "Flatten"}),
        (lambda x: x.mean((-1, -2), keepdim=True).flatten(1), 4, {"GlobalAveragePool", "Reshape"}),
    ],
    ids=["view", "computed-shape", "mean", "mean-keeping-axes"],
)
def test_ways_to_flatten_become_what_engines_know(tmp_path, head, features, expected):
    path = tmp_path / "model.onnx"
    export(Small(head, features), PIXELS[:1], path)
    assert set(operators(path)) - {"Cast", "Mul", "Div", "Conv", "Relu", "Gemm"} == expected


def test_float_inputs_stay_float(tmp_path):
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 2))
    export(model, np.zeros((1, 2, 3), np.float32), tmp_path / "model.onnx")
    with open_session(tmp_path / "model.onnx") as session:
        assert session.inputs[0].dtype == "float32"


def test_a_forward_that_depends_on_values_is_refused_in_words(tmp_path):
    model = Small(lambda x: x.mean((2, 3)) if x.sum() > 0 else x.amax((2, 3)), 4)
    with pytest.raises(ExportError, match=r"Small cannot be exported to ONNX: .*may not depend on values"):
        export(model, PIXELS[:1], tmp_path / "model.onnx")


def test_a_forward_made_for_one_batch_size_is_refused_in_words(tmp_path):
    with pytest.raises(ExportError, match=r"Small does not run on a batch of 8: .*its forward"):
        export(Small(lambda x: x.view(2, -1), 100), PIXELS[:1], tmp_path / "model.onnx")


def test_an_export_that_computes_something_else_is_refused_and_leaves_no_file(tmp_path):
    model = Small(lambda x: x.mean((2, 3)) + torch.compiler.is_compiling(), 4)
    with pytest.raises(ExportError, match="the exported file is not the model: its logits differ"):
        export(model, PIXELS[:1], tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_exporter_is_silent(tmp_path, capfd):
    export(Small(lambda x: x.mean((2, 3)), 4), PIXELS[:1], tmp_path / "model.onnx")
    assert capfd.readouterr() == ("", "")
