from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
import torch
from onnx import TensorProto, numpy_helper
from torch import nn

from compress.errors import QuantizationError
from compress.models.normalize import Normalized
from compress.quantize import dynamic
from compress.quantize.weight_only import quantize
from compress.targets.onnx import export
from compress.targets.scheme import scheme
from compress.targets.target import load_target

pytestmark = pytest.mark.integration


def weights_file(path):
    return path.with_suffix(".bin") if path.suffix == ".xml" else path


def ratio(task) -> float:
    return weights_file(task.model).stat().st_size / weights_file(task.out).stat().st_size


@pytest.fixture(params=["onnxruntime", "openvino"])
def runtime(request) -> str:
    return request.param


def test_int8_weights_of_convolutions_take_a_third_and_decide_alike(job, exported, converted, logits, runtime):
    task = job(exported, runtime, to="int8-weights")
    quantize(task)
    assert ratio(task) > (3.3 if runtime == "openvino" else 2.5)  # of which the graph takes a good part
    expected, found = logits(exported), logits(task.out)
    assert (found.argmax(1) == expected.argmax(1)).mean() >= 0.98
    assert np.sqrt(np.mean((found - expected) ** 2)) < 0.03 * expected.std()


def test_int8_weights_leave_no_trace_in_the_graph_that_runs(job, exported, tmp_path):
    """What makes them as fast as float: everything between the stored integers and the layers is folded."""
    task = job(exported, "onnxruntime", to="int8-weights")
    quantize(task)

    def optimised(path) -> Counter[str]:
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
        options.log_severity_level = 3
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)

    assert optimised(task.out) == optimised(exported)


def test_int8_weights_are_symmetric_and_each_channel_uses_its_whole_range(job, exported):
    task = job(exported, "onnxruntime", to="int8-weights")
    story = quantize(task)
    assert story[0].startswith("7 convolutions and 1 matrix product with int8 weights in the file only")
    stored = [
        numpy_helper.to_array(t) for t in onnx.load(task.out).graph.initializer if t.data_type == TensorProto.INT8
    ]
    assert sum(array.ndim == 4 for array in stored) == 7
    for array in stored:
        axes = tuple(range(1, array.ndim))
        assert (np.abs(array.astype(int)).max(axis=axes) == 127).all()


def test_int4_weights_take_a_fifth_and_decide_mostly_alike(job, perceptron, logits, runtime):
    task = job(perceptron, runtime, to="int4-weights", group=16)
    quantize(task)
    assert ratio(task) > 4.5
    assert (logits(task.out).argmax(1) == logits(perceptron).argmax(1)).mean() >= 0.9


def test_int4_weights_run_as_compressed_products(job, perceptron):
    task = job(perceptron, "onnxruntime", to="int4-weights", group=32)
    story = quantize(task)
    assert len(story) == 1
    assert story[0].startswith("3 matrix products with 4-bit weights, one scale for 32: MatMulNBits")
    nodes = [node for node in onnx.load(task.out).graph.node if node.op_type == "MatMulNBits"]
    found = [{a.name: onnx.helper.get_attribute_value(a) for a in node.attribute} for node in nodes]
    assert [(a["K"], a["N"], a["bits"], a["block_size"]) for a in found] == [
        (144, 96, 4, 32),
        (96, 64, 4, 32),
        (64, 4, 4, 32),
    ]
    assert [node.name for node in nodes] == [n.name for n in onnx.load(perceptron).graph.node if n.op_type == "Gemm"]


def test_openvino_keeps_the_last_layer_in_eight_bits(job, perceptron):
    task = job(perceptron, "openvino", to="int4-weights", group=32)
    assert quantize(task) == ["2 layers with 4-bit weights by NNCF", "1 layer with 8-bit weights by NNCF"]
    types = Counter(
        node.get_element_type()
        for node in openvino.Core().read_model(task.out).get_ops()
        if node.get_type_name() == "Constant" and node.get_output_size() and len(node.get_output_shape(0)) >= 2
    )
    assert types[openvino.Type.i4] == 2


def test_finer_groups_are_closer_to_float(job, perceptron, logits):
    expected, errors = logits(perceptron), []
    for group in (16, 64):
        task = job(perceptron, "onnxruntime", to="int4-weights", group=group)
        quantize(task)
        errors.append(np.abs(logits(task.out) - expected).mean())
    assert errors[0] < errors[1]


def test_int4_weights_of_a_convolutional_network_are_refused_with_its_layers(job, exported, converted, runtime):
    task = job(exported, runtime, to="int4-weights")
    with pytest.raises(QuantizationError, match=r"7 Conv \(99\.\d% of the weights\), 1 Gemm .*use `to: int8-weights`"):
        quantize(task)
    assert not task.out.exists()


def test_weights_that_are_not_finite_are_named(job, perceptron, tmp_path):
    model = onnx.load(perceptron)
    tensor = next(t for t in model.graph.initializer if t.name.endswith("weight") and t.dims[0] == 96)
    broken = numpy_helper.to_array(tensor).copy()
    broken[0, 0] = np.nan
    tensor.CopyFrom(numpy_helper.from_array(broken, tensor.name))
    onnx.save(model, tmp_path / "broken.onnx")
    with pytest.raises(QuantizationError, match="not finite"):
        quantize(job(tmp_path / "broken.onnx", "onnxruntime", to="int8-weights"))


def test_a_dead_channel_stays_dead(job, small_data, logits, tmp_path):
    torch.manual_seed(0)
    convolution = nn.Conv2d(1, 16, 3)
    with torch.no_grad():
        convolution.weight[3] = 0
    model = Normalized(nn.Sequential(convolution, nn.ReLU(), nn.Flatten(), nn.Linear(1600, 4)), [0.45], [0.24])
    export(model, small_data.test.inputs[:1], tmp_path / "model.onnx")
    task = job(tmp_path / "model.onnx", "onnxruntime", to="int8-weights")
    quantize(task)
    expected = logits(tmp_path / "model.onnx")
    assert np.abs(logits(task.out) - expected).max() < 0.05 * expected.std()


def test_what_is_quantized_already_is_refused(job, perceptron, runtime):
    first = job(perceptron, runtime, to="int8-weights")
    quantize(first)
    for to in ("int8-weights", "int4-weights"):
        with pytest.raises(QuantizationError, match="quantized already"):
            quantize(job(perceptron, runtime, model=first.out, to=to))


def test_a_dynamic_int8_file_is_refused(job, perceptron, tmp_path):
    dynamic.quantize_file(perceptron, tmp_path / "dynamic.onnx", scheme(load_target("x86-avx2"), "onnxruntime"))
    with pytest.raises(QuantizationError, match="quantized already"):
        quantize(job(perceptron, "onnxruntime", model=tmp_path / "dynamic.onnx", to="int8-weights"))


def test_other_runtimes_are_refused(job, perceptron):
    with pytest.raises(QuantizationError, match="int8-weights is not made for litert"):
        quantize(job(perceptron, "litert", to="int8-weights"))


def test_compression_is_silent_and_repeatable(job, perceptron, runtime, capfd):
    task = job(perceptron, runtime, to="int4-weights")
    quantize(task)
    first = weights_file(task.out).read_bytes()
    quantize(task)
    assert weights_file(task.out).read_bytes() == first
    assert capfd.readouterr() == ("", "")
