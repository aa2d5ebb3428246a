from __future__ import annotations

import logging
from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compress.errors import QuantizationError
from compress.quantize.dynamic import quantize, quantize_file
from compress.targets.scheme import scheme
from compress.targets.target import load_target
from edge_runtime import open_session

pytestmark = pytest.mark.integration


def operators(path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(path).graph.node)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_the_file_decides_like_the_float_one_and_is_a_third_of_it(job, perceptron, logits, runtime):
    task = job(perceptron, runtime, method="dynamic")
    quantize(task)
    weights = task.model.with_suffix(".bin") if runtime == "openvino" else task.model
    small = task.out.with_suffix(weights.suffix)
    assert small.stat().st_size < 0.35 * weights.stat().st_size
    assert (logits(task.out).argmax(1) == logits(perceptron).argmax(1)).mean() >= 0.97


def test_every_matrix_product_takes_int8_weights(job, perceptron):
    task = job(perceptron, "onnxruntime", method="dynamic")
    story = quantize(task)
    assert story[0].startswith("3 matrix products in int8: weights of 7 bits")
    found = operators(task.out)
    assert (found["MatMulInteger"], found["MatMul"], found["Gemm"]) == (3, 0, 0)
    names = [n.name for n in onnx.load(task.out).graph.node if n.op_type == "MatMulInteger"]
    assert names == [n.name for n in onnx.load(perceptron).graph.node if n.op_type == "Gemm"]
    stored = [
        numpy_helper.to_array(t) for t in onnx.load(task.out).graph.initializer if t.data_type == TensorProto.INT8
    ]
    matrices = [array for array in stored if array.ndim == 2]
    assert sorted(array.shape for array in matrices) == [(64, 4), (96, 64), (144, 96)]
    assert max(np.abs(array.astype(int)).max() for array in matrices) == 64


def test_where_sums_are_wide_weights_use_all_eight_bits(perceptron, tmp_path):
    quantize_file(perceptron, tmp_path / "model.onnx", scheme(load_target("x86-vnni"), "onnxruntime"))
    stored = [numpy_helper.to_array(t) for t in onnx.load(tmp_path / "model.onnx").graph.initializer]
    assert max(np.abs(a.astype(int)).max() for a in stored if a.dtype == np.int8 and a.ndim == 2) == 127


def test_convolutions_shrink_in_the_file_but_never_become_slow_integer_ones(job, exported, logits):
    task = job(exported, "onnxruntime", method="dynamic")
    story = quantize(task)
    found = operators(task.out)
    assert (found["ConvInteger"], found["Conv"], found["MatMulInteger"]) == (0, 7, 1)
    assert "7 convolutions in float, with int8 weights in the file" in story[1]
    assert task.out.stat().st_size < 0.4 * exported.stat().st_size
    assert (logits(task.out).argmax(1) == logits(exported).argmax(1)).mean() >= 0.97


def embedding(path) -> np.ndarray:
    """Token ids to the product of their embeddings with a matrix; returns the table."""
    rng = np.random.default_rng(0)
    table, matrix = rng.standard_normal((500, 32)).astype(np.float32), rng.standard_normal((32, 8)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["rows"]),
        helper.make_node("MatMul", ["rows", "matrix"], ["out"], name="head"),
    ]
    tokens = helper.make_tensor_value_info("tokens", TensorProto.INT64, ["batch", "length"])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", "length", 8])
    constants = [numpy_helper.from_array(table, "table"), numpy_helper.from_array(matrix, "matrix")]
    graph = helper.make_graph(nodes, "embedding", [tokens], [out], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return table


def test_embedding_tables_are_stored_as_bytes(tmp_path):
    table = embedding(tmp_path / "float.onnx")
    quantize_file(tmp_path / "float.onnx", tmp_path / "int8.onnx", scheme(load_target("x86-avx2"), "onnxruntime"))
    stored = [numpy_helper.to_array(t) for t in onnx.load(tmp_path / "int8.onnx").graph.initializer]
    assert [array.dtype.itemsize for array in stored if array.shape == table.shape] == [1]
    tokens = np.arange(500).reshape(5, 100)
    with open_session(tmp_path / "float.onnx") as before, open_session(tmp_path / "int8.onnx") as after:
        expected, found = before.predict(tokens), after.predict(tokens)
    assert np.sqrt(np.mean((found - expected) ** 2)) < 0.03 * expected.std()


def test_a_network_without_matrix_products_is_sent_to_the_static_method(job, tmp_path):
    x = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 1, 4, 4])
    y = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2, 1, 1])
    kernel = numpy_helper.from_array(np.ones((2, 1, 4, 4), np.float32), "kernel")
    graph = helper.make_graph([helper.make_node("Conv", ["input", "kernel"], ["logits"])], "conv", [x], [y], [kernel])
    onnx.save(helper.make_model(graph, ir_version=10), tmp_path / "conv.onnx")
    task = job(tmp_path / "conv.onnx", "onnxruntime", method="dynamic")
    with pytest.raises(QuantizationError, match=r"this network has 1 Conv: use `method: static`"):
        quantize(task)
    assert not task.out.exists()


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_what_is_quantized_already_is_refused(job, perceptron, runtime):
    first = job(perceptron, runtime, method="dynamic")
    quantize(first)
    again = job(perceptron, runtime, model=first.out, method="dynamic")
    with pytest.raises(QuantizationError, match="quantized already"):
        quantize(again)


def test_other_runtimes_are_refused(job, perceptron):
    with pytest.raises(QuantizationError, match="not made for tensorrt; runtimes that have it: onnxruntime, openvino"):
        quantize(job(perceptron, "tensorrt", method="dynamic"))


def test_nobodys_logging_is_configured(job, perceptron, capfd):
    before = (logging.root.level, list(logging.root.handlers))
    quantize(job(perceptron, "onnxruntime", method="dynamic"))
    assert (logging.root.level, logging.root.handlers) == before
    assert capfd.readouterr() == ("", "")
