from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper

from compress.models.convnet import convnet
from compress.models.counts import count_onnx
from compress.models.normalize import Normalized
from compress.quantize import static
from compress.quantize.job import Job
from compress.recipe import Quantize
from compress.targets.onnx import export
from compress.targets.scheme import scheme
from compress.targets.target import load_target

pytestmark = pytest.mark.integration


def initializers(path) -> dict[str, onnx.TensorProto]:
    return {tensor.name: tensor for tensor in onnx.load(path).graph.initializer}


def weights(path) -> list[np.ndarray]:
    """Kernels and matrices, as stored: what DequantizeLinear hands to Conv and Gemm as their second input."""
    graph, stored = onnx.load(path).graph, initializers(path)
    makers = {node.output[0]: node for node in graph.node}
    layers = [node for node in graph.node if node.op_type in ("Conv", "Gemm")]
    return [numpy_helper.to_array(stored[makers[node.input[1]].input[0]]) for node in layers]


def activation_zero_points(path) -> dict[str, int]:
    """By the scale's name, of every tensor that is quantized while running."""
    graph, stored = onnx.load(path).graph, initializers(path)
    quantizers = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    return {node.input[1]: int(numpy_helper.to_array(stored[node.input[2]])) for node in quantizers}


def activation_scales(path) -> list[float]:
    stored = initializers(path)
    return [float(numpy_helper.to_array(stored[name])) for name in activation_zero_points(path)]


@pytest.mark.parametrize("target", ["x86-avx2", "x86-vnni", "raspberry-pi-5"])
@pytest.mark.parametrize("calibration", ["minmax", "entropy", "percentile"])
def test_the_int8_file_decides_like_the_float_one(quantized, exported, logits, target, calibration):
    # Without optimisations, so that what this machine's int8 kernels do to 8-bit weights does not matter.
    path = quantized(target, "onnxruntime", calibration)
    expected, found = logits(exported), logits(path, optimize=False)
    assert (found.argmax(1) == expected.argmax(1)).mean() > 0.95
    assert np.sqrt(np.mean((found - expected) ** 2)) < 0.1 * expected.std()


@pytest.mark.parametrize(("target", "largest"), [("x86-avx2", 64), ("x86-vnni", 127), ("raspberry-pi-5", 127)])
def test_weights_are_stored_as_int8_in_the_range_of_the_scheme(quantized, target, largest):
    found = weights(quantized(target, "onnxruntime"))
    assert len(found) == 8
    assert {array.dtype.name for array in found} == {"int8"}
    assert max(np.abs(array.astype(int)).max() for array in found) == largest


def test_no_weight_is_stored_in_float_too(quantized):
    stored = initializers(quantized("x86-avx2", "onnxruntime")).values()
    floats = [numpy_helper.to_array(tensor) for tensor in stored if tensor.data_type == TensorProto.FLOAT]
    assert max(array.size for array in floats) == 32  # one scale a channel


def test_normalisation_and_logits_stay_float(quantized):
    graph = onnx.load(quantized("x86-avx2", "onnxruntime")).graph
    makers = {node.output[0]: node.op_type for node in graph.node}
    front = [node for node in graph.node if node.op_type in ("Cast", "Mul")]
    assert [node.op_type for node in front] == ["Cast", "Mul"]
    assert makers[front[1].input[0]] == "Cast"
    assert makers["logits"] == "Gemm"


def test_the_residual_sums_are_quantized(quantized):
    graph = onnx.load(quantized("x86-avx2", "onnxruntime")).graph
    makers = {node.output[0]: node.op_type for node in graph.node}
    sources = [{makers.get(name) for name in node.input} for node in graph.node if node.op_type == "Add"]
    assert sorted(sources, key=str) == sorted([{"Mul", None}, {"DequantizeLinear"}, {"DequantizeLinear"}], key=str)


def test_tensorrt_gets_zero_points_of_zero_and_float_biases(quantized):
    path = quantized("nvidia-gpu", "tensorrt")
    assert set(activation_zero_points(path).values()) == {0}
    types = {tensor.data_type for tensor in initializers(path).values()}
    assert TensorProto.INT32 not in types
    assert TensorProto.UINT8 not in types


@pytest.mark.parametrize("calibration", ["entropy", "percentile"])
def test_other_calibrations_than_minmax_cut_ranges(quantized, calibration):
    """Also guards against a range around zero after a ReLU, which would be wider than minmax's."""
    widest = activation_scales(quantized("x86-avx2", "onnxruntime"))
    cut = activation_scales(quantized("x86-avx2", "onnxruntime", calibration))
    assert len(cut) == len(widest)
    assert np.mean(cut) < np.mean(widest)
    assert max(np.divide(cut, widest)) < 1.02


def test_the_same_samples_give_the_same_file(quantized, exported, small_data, tmp_path):
    few = quantized("x86-avx2", "onnxruntime", samples=40)  # one full batch and a part of one
    chosen = scheme(load_target("x86-avx2"), "onnxruntime")
    again = tmp_path / "same.onnx"
    static.quantize(Job("onnxruntime", exported, exported, again, chosen, Quantize(samples=40), small_data))
    assert (tmp_path / "same.onnx").read_bytes() == few.read_bytes()
    assert few.read_bytes() != quantized("x86-avx2", "onnxruntime", samples=8).read_bytes()


def test_a_student_of_75_thousand_parameters_fits_into_110_kilobytes(small_data, tmp_path):
    torch.manual_seed(0)
    model = Normalized(convnet(classes=10, channels=1, widths=(32, 64, 96)), [0.4], [0.25])
    model(torch.from_numpy(small_data.train.inputs[:64]))
    export(model, small_data.test.inputs[:1], tmp_path / "float.onnx")
    chosen = scheme(load_target("x86-avx2"), "onnxruntime")
    paths = (tmp_path / "float.onnx", tmp_path / "float.onnx", tmp_path / "int8.onnx")
    static.quantize(Job("onnxruntime", *paths, chosen, Quantize(samples=16), small_data))
    assert count_onnx(tmp_path / "float.onnx").params > 74_000
    assert (tmp_path / "int8.onnx").stat().st_size < 85_000


def test_calibration_is_silent(exported, small_data, tmp_path, capfd):
    chosen = scheme(load_target("x86-avx2"), "onnxruntime")
    settings = Quantize(calibration="entropy", samples=8)
    static.quantize(Job("onnxruntime", exported, exported, tmp_path / "int8.onnx", chosen, settings, small_data))
    assert capfd.readouterr() == ("", "")
