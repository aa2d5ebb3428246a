"""Golden answers: deterministic, and limits that other kernels keep and broken ones do not."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compress.bundle import golden
from compress.data.dataset import Split
from compress.errors import BundlingError


@pytest.fixture
def split() -> Split:
    random = np.random.default_rng(0)
    return Split(random.normal(size=(200, 16)).astype(np.float32), np.arange(200) % 4)


@pytest.fixture
def float_model(tmp_path):
    return save(tmp_path / "float.onnx", np.random.default_rng(1).normal(size=(16, 4)).astype(np.float32))


def save(path, weights):
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["input", "dense"], ["logits"])],
        "dense",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", weights.shape[0]])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", weights.shape[1]])],
        [numpy_helper.from_array(weights, "dense")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_the_same_samples_and_answers_every_time(float_model, split):
    one, two = (golden.golden(float_model, "onnxruntime", "fp32", split) for _ in range(2))
    assert one.inputs.tobytes() == two.inputs.tobytes()
    assert one.outputs.tobytes() == two.outputs.tobytes()
    assert (one.absolute, one.argmax) == (two.absolute, two.argmax)


def test_every_class_is_among_the_samples(float_model, split):
    found = golden.golden(float_model, "onnxruntime", "fp32", split)
    labels = [int(split.labels[np.flatnonzero((split.inputs == row).all(1))[0]]) for row in found.inputs]
    assert np.bincount(labels).tolist() == [8, 8, 8, 8]


def test_few_samples_are_all_taken(float_model, split):
    assert len(golden.golden(float_model, "onnxruntime", "fp32", split.take(slice(0, 5))).inputs) == 5


def test_a_float_network_may_differ_by_a_thousandth_of_its_largest_answer(float_model, split):
    found = golden.golden(float_model, "onnxruntime", "fp32", split)
    largest = np.abs(found.outputs).max()
    assert 1e-3 * largest <= found.absolute < 1.2e-3 * largest
    assert "0.025% of the largest answer" in found.reason


def test_integers_get_room_for_rounding_and_no_room_for_a_broken_kernel(float_model, split):
    found = golden.golden(float_model, "onnxruntime", "int8", split)
    largest = np.abs(found.outputs).max()
    assert found.absolute == pytest.approx(0.1 * largest, rel=0.1)
    assert np.abs(found.outputs - found.outputs[::-1]).max() > found.absolute  # answers to other inputs
    assert np.abs(found.outputs).max() > found.absolute  # all zeros


def test_no_expected_difference_can_break_the_agreement(float_model, split):
    found = golden.golden(float_model, "onnxruntime", "int8", split)
    expected = found.absolute / 4
    random = np.random.default_rng(2)
    for _ in range(100):
        other = found.outputs + random.uniform(-expected, expected, found.outputs.shape)
        assert (other.argmax(1) == found.outputs.argmax(1)).mean() >= found.argmax
    assert 0.5 < found.argmax <= 1


def test_tensorrt_computes_floats_in_fewer_bits_and_is_answered_for_by_another_runtime(float_model, split):
    there = golden.golden(float_model, "tensorrt", "fp32", split)
    here = golden.golden(float_model, "onnxruntime", "fp32", split)
    assert np.array_equal(there.outputs, here.outputs)
    assert there.absolute > 10 * here.absolute


def test_answers_are_asked_for_one_sample_a_call(split):
    asked = []

    def predict(array):
        asked.append(len(array))
        return array[:, :4]

    assert golden.answers(predict, split.inputs[:7]).shape == (7, 4)
    assert asked == [1] * 7


def test_a_network_that_answers_no_number_is_refused(tmp_path, split):
    model = save(tmp_path / "nan.onnx", np.full((16, 4), np.nan, np.float32))
    with pytest.raises(BundlingError, match="not finite"):
        golden.golden(model, "onnxruntime", "fp32", split)


def test_a_network_that_answers_nothing_but_zeros_still_has_a_limit(tmp_path, split):
    found = golden.golden(save(tmp_path / "zero.onnx", np.zeros((16, 4), np.float32)), "onnxruntime", "fp32", split)
    assert 0 < found.absolute < 1e-3
    assert found.argmax == 0


@pytest.mark.parametrize("value", [0.58, 1.0, 9.99, 0.001, 123.4, 4e-6])
def test_limits_are_rounded_up_to_two_digits(value):
    rounded = golden._rounded(value)
    assert value <= rounded * (1 + 1e-12)
    assert rounded <= value * 1.1
    assert len(f"{rounded:g}".replace("0", "").replace(".", "").split("e")[0]) <= 2
