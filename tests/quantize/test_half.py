from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import openvino
import pytest
from onnx import TensorProto, numpy_helper

from compress.errors import QuantizationError
from compress.quantize.half import largest_activation, quantize
from compress.targets import openvino as openvino_export
from edge_runtime import open_session

pytestmark = pytest.mark.integration


def weights_file(path):
    return path.with_suffix(".bin") if path.suffix == ".xml" else path


@pytest.fixture(params=["onnxruntime", "openvino"])
def runtime(request) -> str:
    return request.param


@pytest.mark.parametrize(("to", "error"), [("fp16", 1e-3), ("bf16", 2e-2)])
def test_the_file_is_half_and_answers_nearly_the_same(job, exported, converted, logits, runtime, to, error):
    task = job(exported, runtime, to=to)
    quantize(task)
    before, after = (weights_file(path).stat().st_size for path in (task.model, task.out))
    assert after < (0.51 if runtime == "openvino" else 0.6) * before  # of which the graph takes a part
    expected, found = logits(exported), logits(task.out)
    assert np.abs(found - expected).max() < error * np.abs(expected).max()
    assert not np.array_equal(found, expected)
    assert (found.argmax(1) == expected.argmax(1)).mean() >= 0.98


@pytest.mark.parametrize(("to", "element"), [("fp16", TensorProto.FLOAT16), ("bf16", TensorProto.BFLOAT16)])
def test_onnx_stores_what_was_asked_for(job, exported, to, element):
    task = job(exported, "onnxruntime", to=to)
    quantize(task)
    kernels = [t for t in onnx.load(task.out).graph.initializer if len(t.dims) == 4 and np.prod(t.dims) >= 64]
    assert {tensor.data_type for tensor in kernels} == {element}


@pytest.mark.parametrize(("to", "element"), [("fp16", openvino.Type.f16), ("bf16", openvino.Type.bf16)])
def test_openvino_stores_what_was_asked_for(job, exported, converted, to, element):
    task = job(exported, "openvino", to=to)
    quantize(task)
    constants = (n for n in openvino.Core().read_model(task.out).get_ops() if n.get_type_name() == "Constant")
    kernels = [node for node in constants if len(node.get_output_shape(0)) == 4 and node.data.size >= 64]
    assert {node.get_element_type() for node in kernels} == {element}


def test_inputs_and_outputs_keep_their_types(job, exported):
    task = job(exported, "onnxruntime", to="fp16")
    quantize(task)
    with open_session(exported) as before, open_session(task.out) as after:
        assert (after.inputs, after.outputs) == (before.inputs, before.outputs)


def scaled(source, path, factor: float) -> None:
    """The perceptron with its first weights multiplied, and the second divided: the same answers."""
    model = onnx.load(source)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    first, second, _ = (node for node in model.graph.node if node.op_type == "Gemm")
    for name, by in ((first.input[1], factor), (first.input[2], factor), (second.input[1], 1 / factor)):
        array = numpy_helper.to_array(constants[name]) * np.float32(by)
        constants[name].CopyFrom(numpy_helper.from_array(array, name))
    onnx.save(model, path)
    openvino_export.export(path, path.with_suffix(".xml"))


def test_weights_beyond_fp16_stay_in_float_and_are_told(job, perceptron, logits, runtime, tmp_path):
    scaled(perceptron, tmp_path / "large.onnx", 2.0**20)
    task = job(tmp_path / "large.onnx", runtime, to="fp16")
    story = quantize(task)
    assert any("stay in float, because they hold numbers beyond fp16's 65504" in line for line in story)
    assert set(task.say.__self__) <= set(story)
    assert task.say.__self__
    assert (logits(task.out).argmax(1) == logits(perceptron).argmax(1)).mean() >= 0.98


def test_activations_beyond_fp16_are_told_with_their_layer(job, perceptron, tmp_path):
    scaled(perceptron, tmp_path / "large.onnx", 2.0**15)
    task = job(tmp_path / "large.onnx", "onnxruntime", to="fp16")
    quantize(task)
    assert "overflows there; use bf16" in task.say.__self__[-1]
    assert "of 128 samples" not in task.say.__self__[-1]  # the test split's
    assert "of 64 samples" in task.say.__self__[-1]


def test_bf16_holds_what_fp16_does_not(job, perceptron, logits, runtime, tmp_path):
    scaled(perceptron, tmp_path / "large.onnx", 2.0**20)
    task = job(tmp_path / "large.onnx", runtime, to="bf16")
    assert len(quantize(task)) == 1
    assert not task.say.__self__
    assert (logits(task.out).argmax(1) == logits(perceptron).argmax(1)).mean() >= 0.95


def test_the_largest_activation_is_that_of_the_float_network(perceptron, small_data, tmp_path):
    """By another way: the hidden layers as outputs of the graph."""
    inputs = small_data.calibration.inputs[:40]  # one full batch and a part of one
    model = onnx.shape_inference.infer_shapes(onnx.load(perceptron))
    floats = [v for v in model.graph.value_info if v.type.tensor_type.elem_type == TensorProto.FLOAT]
    model.graph.output.extend(floats)
    onnx.save(model, tmp_path / "open.onnx")
    with open_session(tmp_path / "open.onnx") as session:
        expected = max(np.abs(array).max() for array in session.run({"input": inputs}).values())
    value, where = largest_activation(perceptron, inputs)
    assert value == pytest.approx(expected, rel=1e-5)
    assert where in {node.name for node in onnx.load(perceptron).graph.node}


def test_numbers_that_are_not_finite_in_float_already_are_refused(job, perceptron, tmp_path):
    scaled(perceptron, tmp_path / "large.onnx", 2.0**127)
    with pytest.raises(QuantizationError, match="not finite, in float too"):
        quantize(job(tmp_path / "large.onnx", "onnxruntime", to="fp16"))


def test_what_is_stored_in_16_bits_already_is_refused(job, perceptron, runtime):
    first = job(perceptron, runtime, to="bf16")
    quantize(first)
    with pytest.raises(QuantizationError, match=r"quantized already \((bf16|bfloat16)\)"):
        quantize(job(perceptron, runtime, model=first.out, to="fp16"))


def test_other_runtimes_are_refused(job, perceptron):
    with pytest.raises(QuantizationError, match="bf16 is not made for tensorrt"):
        quantize(job(perceptron, "tensorrt", to="bf16"))
    with pytest.raises(QuantizationError, match="fp16 for tensorrt is written from PyTorch, and there is no"):
        quantize(job(perceptron, "tensorrt", to="fp16"))


@pytest.mark.parametrize("runtime", ["tensorrt", "onnxruntime-cuda"])
def test_for_a_gpu_the_graph_itself_computes_in_fp16(job, network, exported, logits, runtime):
    task = replace(job(exported, runtime, to="fp16"), network=network)
    [how, largest] = quantize(task)
    assert "computes in fp16" in how and "the largest activation" in largest
    graph = onnx.shape_inference.infer_shapes(onnx.load(task.out)).graph
    types = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
    convolutions = [node.output[0] for node in graph.node if node.op_type == "Conv"]
    assert convolutions and {types[name] for name in convolutions} == {TensorProto.FLOAT16}
    expected, found = logits(exported), logits(task.out)
    assert 0 < np.abs(found - expected).max() < 1e-2 * np.abs(expected).max()


def test_what_would_overflow_in_fp16_is_not_compiled(job, network, exported, monkeypatch):
    monkeypatch.setattr("compress.quantize.half.largest_activation", lambda path, inputs: (70_000.0, "Conv 3"))
    with pytest.raises(QuantizationError, match="in 'Conv 3'; fp16 ends at 65504: it would overflow; use bf16"):
        quantize(replace(job(exported, "tensorrt", to="fp16"), network=network))
