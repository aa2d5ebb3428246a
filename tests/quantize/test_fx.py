from __future__ import annotations

from collections.abc import Callable

import onnx
import pytest
from torch import nn

from compress.errors import QuantizationError
from compress.quantize import fx
from compress.quantize.checks.coverage import int8_coverage
from compress.quantize.job import Job
from compress.recipe import Quantize, QuantTraining
from compress.targets.scheme import scheme
from compress.targets.target import load_target
from compress.training import accuracy
from edge_runtime import open_session

pytestmark = pytest.mark.integration
TRAINING = QuantTraining(epochs=1, batch=32)


@pytest.fixture
def job(network, exported, small_data, tmp_path) -> Callable[..., Job]:
    def make(target: str = "x86-avx2", runtime: str = "onnxruntime", *, settings: dict | None = None, **fields) -> Job:
        out = tmp_path / target / ("model.xml" if runtime == "openvino" else "model.onnx")
        chosen = scheme(load_target(target), runtime)
        defaults = {"network": network, "teacher": network}
        return Job(
            runtime,
            exported,
            exported,
            out,
            chosen,
            Quantize(method="fx", **settings or {}),
            small_data,
            **defaults | fields,
        )

    return make


@pytest.mark.parametrize("training", [None, TRAINING])
@pytest.mark.parametrize("target", ["x86-avx2", "raspberry-pi-5"])
def test_every_convolution_and_the_head_run_in_int8_and_decide_as_before(job, network, small_data, target, training):
    task = job(target, settings={"training": training})
    fx.quantize(task)
    found = int8_coverage(task.out)
    assert (found.int8, found.floating) == ({"QLinearConv": 7, "QGemm": 1}, {})
    with open_session(task.out) as session:
        right = (session.predict(small_data.test.inputs).argmax(1) == small_data.test.labels).mean()
    assert right > accuracy(network(), small_data.test) - 0.03


@pytest.mark.parametrize("calibration", ["minmax", "mse"])
def test_calibration_is_the_recipe_s(job, calibration):
    task = job(settings={"calibration": calibration})
    story = fx.quantize(task)
    assert story[0] == "ranges from calibration samples, no training"
    other = job(settings={"calibration": "minmax" if calibration == "mse" else "mse"})
    first = task.out.read_bytes()
    fx.quantize(other)
    assert other.out.read_bytes() != first


def test_layers_keep_their_names_and_logits_stay_float(job):
    task = job()
    fx.quantize(task)
    graph = onnx.load(task.out).graph
    makers = {node.output[0]: node for node in graph.node}
    assert makers["logits"].op_type == "Gemm"
    names = {node.name.removeprefix("model.") for node in graph.node if node.op_type == "Conv"}
    assert names == {"stem.0", *(f"blocks.{i}.{name}" for i in (0, 1) for name in ("conv1", "conv2", "shortcut.0"))}


def test_openvino_runs_every_convolution_in_int8(job):
    task = job("x86-avx2", "openvino")
    fx.quantize(task)
    found = int8_coverage(task.out)
    assert (found.int8, found.floating) == ({"Convolution": 7, "FullyConnected": 1}, {})


def test_the_user_is_told_that_the_flow_is_going_away_and_nothing_else(job, capfd):
    said = []
    fx.quantize(job(settings={"training": TRAINING}, say=said.append))
    assert said == [fx.DEPRECATED]
    assert "will remove" in said[0]
    assert capfd.readouterr() == ("", "")


class Branching(nn.Module):
    def forward(self, x):
        return x.float().mean((2, 3)) if x.sum() > 0 else x.float().sum((2, 3))


def test_a_network_that_fx_cannot_trace_is_refused_with_a_way_out(job):
    task = job(network=Branching)
    with pytest.raises(QuantizationError, match=r"Branching cannot be traced by torch\.fx.*'method: qat' traces more"):
        fx.quantize(task)
    assert not task.out.exists()
