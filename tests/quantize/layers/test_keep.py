from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from compress.errors import QuantizationError
from compress.models.normalize import Normalized
from compress.quantize import quantize
from compress.quantize.checks.coverage import int8_coverage
from compress.quantize.job import Job
from compress.quantize.layers import keep
from compress.recipe import Quantize
from compress.targets import onnx as onnx_export
from compress.targets import openvino as openvino_export
from compress.targets.scheme import scheme
from compress.targets.target import load_target

pytestmark = pytest.mark.integration

RUNTIMES = ["onnxruntime", "openvino"]


@pytest.fixture(scope="module")
def pair(exported, converted, small_data, tmp_path_factory):
    """`pair(runtime)`: the float file and its int8 version."""
    made = {}

    def make(runtime: str) -> tuple[Path, Path]:
        if runtime not in made:
            source = exported if runtime == "onnxruntime" else converted
            out = tmp_path_factory.mktemp("int8") / source.name
            chosen = scheme(load_target("x86-avx2"), runtime)
            quantize(Job(runtime, exported, source, out, chosen, Quantize(samples=64), small_data))
            made[runtime] = source, out
        return made[runtime]

    return make


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(np.mean((a - b) ** 2)) / b.std())


def names(path: Path) -> list[str]:
    return [layer.name for layer in keep.layers(path)]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_layers_are_called_as_their_modules(pair, runtime):
    found = names(pair(runtime)[1])
    assert len(found) == 8
    assert {"model.blocks.0.conv1", "model.head"} <= set(found)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_with_all_layers_in_float_the_network_is_the_float_one(pair, logits, tmp_path, runtime):
    floating, quantized = pair(runtime)
    out = tmp_path / quantized.name
    keep.with_float(quantized, floating, frozenset(names(quantized)), out)
    assert difference(logits(quantized), logits(floating)) > 1e-3
    assert difference(logits(out), logits(floating)) < 1e-5
    assert keep.size(out) > 0.9 * keep.size(floating)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_with_no_layer_in_float_nothing_changes(pair, tmp_path, runtime):
    floating, quantized = pair(runtime)
    out = tmp_path / quantized.name
    keep.with_float(quantized, floating, frozenset(), out)
    assert [file.read_bytes() for file in keep.files(out)] == [file.read_bytes() for file in keep.files(quantized)]


@pytest.mark.parametrize("name", ["model.stem.0", "model.blocks.0.conv1", "model.blocks.1.conv2", "model.head"])
def test_onnxruntime_computes_exactly_the_layer_asked_for_in_float(pair, tmp_path, name):
    floating, quantized = pair("onnxruntime")
    out = tmp_path / "model.onnx"
    keep.with_float(quantized, floating, frozenset({name}), out)
    coverage = int8_coverage(out)
    assert sum(coverage.floating.values()) == 1
    assert sum(coverage.int8.values()) == 7


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_single_layer_in_float_leaves_the_answers_close(pair, logits, tmp_path, runtime):
    floating, quantized = pair(runtime)
    for index, name in enumerate(names(quantized)):
        out = tmp_path / f"{index}{quantized.suffix}"
        keep.with_float(quantized, floating, frozenset({name}), out)
        assert difference(logits(out), logits(floating)) < 1.5 * difference(logits(quantized), logits(floating)), name


def test_activation_functions_that_rounding_implied_come_back(pair, tmp_path):
    floating, quantized = pair("onnxruntime")
    count = lambda path: [node.op_type for node in onnx.load(path).graph.node].count("Relu")  # noqa: E731
    assert count(quantized) == 0
    keep.with_float(quantized, floating, frozenset(names(quantized)), tmp_path / "model.onnx")
    assert count(tmp_path / "model.onnx") >= 5


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_relu6_that_rounding_implied_comes_back_with_its_upper_end(small_data, logits, tmp_path, runtime):
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 8, 3), nn.ReLU6(), nn.Conv2d(8, 8, 3), nn.ReLU6()
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
    # So small a deviation makes inputs so large that many values are cut off at 6.
    model = Normalized(nn.Sequential(*layers, *head), [0.45], [0.01])
    onnx_export.export(model, small_data.test.inputs[:1], floating := tmp_path / "float.onnx")
    source = floating
    if runtime == "openvino":
        openvino_export.export(floating, source := floating.with_suffix(".xml"))
    out = tmp_path / "int8" / source.name
    out.parent.mkdir()
    quantize(
        Job(runtime, floating, source, out, scheme(load_target("x86-avx2"), runtime), Quantize(samples=64), small_data)
    )
    again = tmp_path / source.with_stem("again").name
    keep.with_float(out, source, frozenset(names(out)), again)
    assert difference(logits(again), logits(source)) < 1e-5


def test_weights_that_are_not_the_float_files_stay_as_they_are(pair, logits, tmp_path):
    """As after training with rounding simulated: the float file's weights would not fit their neighbours any more."""
    floating, quantized = pair("onnxruntime")
    model = onnx.load(floating)
    for tensor in model.graph.initializer:
        if tensor.name == "model.blocks.0.conv1.weight":
            tensor.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(tensor), tensor.name))
    onnx.save_model(model, tmp_path / "other.onnx")
    out = tmp_path / "model.onnx"
    keep.with_float(quantized, tmp_path / "other.onnx", frozenset(names(quantized)), out)
    assert difference(logits(out), logits(floating)) < 0.01


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_unknown_layer_is_refused_by_name(pair, tmp_path, runtime):
    floating, quantized = pair(runtime)
    with pytest.raises(QuantizationError, match=r"no layer conv9; it has .*model\.head"):
        keep.with_float(quantized, floating, frozenset({"conv9"}), tmp_path / quantized.name)
    assert not list(tmp_path.iterdir())


def test_another_format_is_refused():
    with pytest.raises(QuantizationError, match=r"not in \*\.tflite"):
        keep.layers(Path("model.tflite"))


def test_what_lies_between_float_layers_is_float_too():
    #   a -> add -> b,  a -> add; b -> pool -> flat -> c
    feeds = {"a": {"add"}, "add": {"b"}, "b": {"pool"}, "pool": {"flat"}, "flat": {"c"}, "c": set()}
    stay = lambda kept: keep.stay_int8(feeds, set("abc"), kept, {"flat"})  # noqa: E731
    assert stay(set()) == set(feeds)
    assert stay(set("abc")) == set()
    assert stay({"a"}) == {"b", "c", "pool", "flat"}
    assert stay({"b"}) == {"a", "c", "flat"}
    assert stay({"c"}) == {"a", "b", "add"}
