from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from compress.errors import DataError, QuantizationError
from compress.models.convnet import convnet
from compress.models.normalize import Normalized
from compress.quantize import qat
from compress.quantize.checks.coverage import int8_coverage
from compress.quantize.job import Job
from compress.quantize.training import converted
from compress.quantize.training.simulation import calibrate
from compress.recipe import Quantize, QuantTraining, Training
from compress.targets.scheme import scheme
from compress.targets.target import load_target
from compress.training import accuracy, fit
from edge_runtime import open_session

pytestmark = pytest.mark.integration
LAYERS = {"stem.0", "head", *(f"blocks.{i}.{name}" for i in (0, 1) for name in ("conv1", "conv2", "shortcut.0"))}
OUTLIER = 300


class Killed(Exception):
    pass


@pytest.fixture(scope="module")
def fragile(small_data) -> Callable[[], Normalized]:
    """Makes a trained network in which two channels are so much larger than the others that one scale for all leaves
    the others few levels; what it computes in float is not changed by that."""

    def build_plain() -> Normalized:
        torch.manual_seed(0)
        return Normalized(convnet(classes=4, channels=1, widths=(16, 32)), [0.45], [0.24])

    trained = build_plain()
    fit(trained, small_data.train, small_data.validation, Training(epochs=6, batch=32, lr=0.05))
    _, norm, _, second, *_ = trained.model.features
    with torch.no_grad():
        norm.weight[:2] *= OUTLIER
        norm.bias[:2] *= OUTLIER
        second.weight[:, :2] /= OUTLIER

    def make() -> Normalized:
        model = build_plain()
        model.load_state_dict(trained.state_dict())
        return model.eval()

    return make


@pytest.fixture
def job(network, exported, small_data, tmp_path) -> Callable[..., Job]:
    """`job(target, runtime, epochs=..., **fields of Job)`"""

    def make(target: str = "x86-avx2", runtime: str = "onnxruntime", *, epochs: int = 2, **fields: object) -> Job:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        defaults = {
            "runtime": runtime,
            "onnx": exported,
            "model": exported,
            "out": folder / ("model.xml" if runtime == "openvino" else "model.onnx"),
            "scheme": scheme(load_target(target), runtime),
            "settings": Quantize(method="qat", training=QuantTraining(epochs=epochs, batch=32, ema=0.9)),
            "data": small_data,
            "network": network,
            "teacher": network,
            "resume": folder / "resume",
        }
        return Job(**defaults | fields)

    return make


def run(path: Path, inputs: np.ndarray) -> np.ndarray:
    with open_session(path) as session:
        return session.predict(inputs)


def stored(path: Path) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}


def test_training_makes_up_for_what_rounding_costs_a_fragile_network(job, fragile, small_data):
    training = QuantTraining(epochs=4, batch=32, optimizer="adamw", lr=0.001)
    task = job(network=fragile, teacher=fragile, settings=Quantize(method="qat", training=training))
    simulation = qat.prepare(fragile(), task)
    calibrate(simulation, task.calibration)
    rounded = accuracy(simulation, small_data.test)
    assert accuracy(fragile(), small_data.test) > rounded + 0.04
    story = qat.quantize(task)
    assert "the best epoch is kept" in story[0]
    found = run(task.out, small_data.test.inputs)
    assert (found.argmax(1) == small_data.test.labels).mean() > rounded + 0.03


@pytest.mark.parametrize("target", ["x86-avx2", "x86-vnni", "raspberry-pi-5"])
def test_every_convolution_sum_and_the_head_run_in_int8_under_their_own_names(job, target):
    task = job(target, epochs=1)
    qat.quantize(task)
    found = int8_coverage(task.out)
    assert (found.int8, found.floating) == ({"QLinearConv": 7, "QGemm": 1}, {})
    graph = onnx.load(task.out).graph
    makers = {node.output[0]: node.op_type for node in graph.node}
    sums = [{makers.get(name) for name in node.input} for node in graph.node if node.op_type == "Add"]
    assert sums.count({"DequantizeLinear"}) == 2
    names = {node.name.removeprefix("model.") for node in graph.node if node.op_type in ("Conv", "Gemm")}
    assert names == LAYERS


def test_openvino_gets_the_same_network(job, small_data):
    tasks = job("x86-avx2", "openvino", epochs=1), job("x86-avx2", "onnxruntime", epochs=1)
    for task in tasks:
        qat.quantize(task)
    found = int8_coverage(tasks[0].out)
    assert (found.int8, found.floating) == ({"Convolution": 7, "FullyConnected": 1}, {})
    one, two = (run(task.out, small_data.test.inputs).argmax(1) for task in tasks)
    assert (one == two).mean() > 0.98


def test_tensorrt_gets_zero_points_of_zero_and_float_biases(job):
    task = job("nvidia-gpu", "tensorrt", epochs=1)
    qat.quantize(task)
    arrays = stored(task.out)
    assert {array.dtype.name for array in arrays.values()} == {"float32", "int8", "int64"}
    points = [node.input[2] for node in onnx.load(task.out).graph.node if node.op_type == "QuantizeLinear"]
    assert not any(arrays[name].any() for name in points)


@pytest.mark.parametrize(("target", "largest"), [("x86-avx2", 63), ("x86-vnni", 127)])
def test_weights_are_stored_as_int8_and_biases_as_int32(job, target, largest):
    task = job(target, epochs=1)
    qat.quantize(task)
    arrays = stored(task.out)
    weights = [array for array in arrays.values() if array.dtype == np.int8 and array.ndim > 1]
    assert len(weights) == 8
    assert max(np.abs(array.astype(int)).max() for array in weights) == largest
    assert sum(array.dtype == np.int32 for array in arrays.values()) == 8
    assert max(array.size for array in arrays.values() if array.dtype == np.float32) == 32  # a scale a channel


@pytest.mark.parametrize("epoch", [0, 1])
def test_a_run_killed_after_an_epoch_makes_the_file_of_an_unbroken_one(job, epoch):
    whole = job(epochs=3)
    qat.quantize(whole)

    def kill(done):
        if done.number == epoch:
            raise Killed

    broken = job(epochs=3, on_epoch=kill)
    with pytest.raises(Killed):
        qat.quantize(broken)
    assert not broken.out.exists()
    epochs = []
    qat.quantize(replace(broken, on_epoch=epochs.append))
    assert [e.number for e in epochs] == list(range(epoch + 1, 3))
    assert broken.out.read_bytes() == whole.out.read_bytes()


def test_only_training_samples_set_ranges_and_only_before_the_last_third(job, network, small_data):
    task = job()
    simulation = qat.prepare(network(), task)
    calibrate(simulation, task.calibration)
    scales = lambda: torch.cat([quantizer.scale.clone() for quantizer in simulation.activations()])  # noqa: E731
    bright, dark = torch.full((4, 1, 12, 12), 255, dtype=torch.uint8), torch.zeros((4, 1, 12, 12), dtype=torch.uint8)
    before = scales()
    simulation.eval()(torch.cat([bright, dark]))
    assert torch.equal(scales(), before)
    simulation.train()(torch.cat([bright, dark]))
    after = scales()
    assert not torch.equal(after, before)
    simulation.freeze()
    simulation.train()(torch.cat([bright, dark]))
    assert torch.equal(scales(), after)


def test_training_that_does_harm_is_told_and_undone(job, small_data):
    harm = Quantize(method="qat", training=QuantTraining(epochs=1, batch=32, lr=0.9, warmup=0.0))
    task = job(settings=harm)
    story = qat.quantize(task)
    assert "the untrained weights are kept" in story[0]
    found = run(task.out, small_data.validation.inputs).argmax(1)
    assert f"{(found == small_data.validation.labels).mean():.2%} with calibrated ranges alone" in story[0]


def test_without_a_teacher_or_its_weight_the_labels_teach(job):
    alone, taught = job(teacher=None, epochs=1), job(epochs=1)
    unheard = job(settings=taught.settings.model_copy(update={"weight": 0.0}))
    for task in (alone, taught, unheard):
        qat.quantize(task)
    assert alone.out.read_bytes() != taught.out.read_bytes()
    assert unheard.out.read_bytes() == alone.out.read_bytes()


def test_a_channel_without_weights_keeps_its_bias(job, network, small_data):
    def dead() -> nn.Module:
        model = network()
        with torch.no_grad():
            model.model.head.weight[0] = 0
            model.model.head.bias[0] = 3
        return model

    task = job(network=dead, teacher=dead, epochs=1)
    qat.quantize(task)
    assert np.allclose(run(task.out, small_data.test.inputs)[:, 0], 3, atol=0.2)


def test_a_file_that_is_not_the_network_is_an_error_with_the_figure(job, monkeypatch):
    monkeypatch.setattr(converted, "AGREEMENT", 1.01)  # more than can be
    task = job(epochs=1)
    with pytest.raises(
        QuantizationError, match=r"the same class .* for \d+\.\d\d% of 128 validation samples; at least"
    ):
        qat.quantize(task)
    assert not task.out.exists()


class Branching(nn.Module):
    def forward(self, x):
        return x.float().mean((2, 3)) if x.sum() > 0 else x.float().sum((2, 3))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"network": None}, "an ONNX teacher has none: use 'method: static'"),
        ({"runtime": "litert"}, "onnxruntime, openvino, tensorrt, not litert"),
        ({"network": Branching}, "Branching cannot be traced"),
    ],
)
def test_what_cannot_be_trained_is_refused(job, fields, message):
    task = replace(job(), **fields)
    with pytest.raises(QuantizationError, match=message):
        qat.quantize(task)
    assert not task.out.exists()


def test_a_scheme_that_8_bit_arithmetic_does_not_have_is_refused(job):
    task = job()
    with pytest.raises(QuantizationError, match="weight_bits = 4; supported: 7 or 8"):
        qat.quantize(replace(task, scheme=replace(task.scheme, weight_bits=4)))


def test_calibration_without_samples_is_refused(job, small_data):
    nothing = replace(small_data, calibration=small_data.calibration.take(slice(0, 0)))
    with pytest.raises(DataError, match="calibration split is empty"):
        qat.quantize(job(data=nothing))


def test_training_is_silent(job, capfd):
    qat.quantize(job(epochs=1))
    assert capfd.readouterr() == ("", "")
