from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from compress.quantize.graph import qdq


def fake_quantized(axis: int = 0) -> ir.Model:
    """x -> Conv whose float weights pass QuantizeLinear and DequantizeLinear, as PyTorch's exporter writes it."""
    rng = np.random.default_rng(0)
    constants = {
        "w": rng.standard_normal((4, 3, 3, 3)).astype(np.float32),
        "s": np.array([0.01, 0.02, 0.03, 0.05], np.float32),
        "z": np.zeros(4, np.int8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["w", "s", "z"], ["q"], axis=axis),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], axis=axis),
        helper.make_node("Conv", ["input", "d"], ["logits"], name="conv", kernel_shape=[3, 3]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, 5, 5])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 4, 3, 3])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return ir.from_proto(model)


def run(model: ir.Model, inputs: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"input": inputs})[0]


def test_folding_stores_weights_as_int8_and_changes_no_output():
    inputs = np.random.default_rng(1).standard_normal((2, 3, 5, 5)).astype(np.float32)
    model = fake_quantized()
    before = run(model, inputs)
    assert qdq.fold_weights(model) == 1
    assert [node.op_type for node in model.graph] == ["DequantizeLinear", "Conv"]
    stored = {value.name: value.const_value.numpy() for value in model.graph.initializers.values()}
    assert {array.dtype.name for array in stored.values() if array.ndim == 4} == {"int8"}
    assert max(array.nbytes for array in stored.values()) == 4 * 3 * 3 * 3
    np.testing.assert_array_equal(run(model, inputs), before)


def test_folding_leaves_activations_alone():
    model = fake_quantized()
    conv = next(node for node in model.graph if node.op_type == "Conv")
    scale, zero = model.graph.initializers["s"], model.graph.initializers["z"]
    quantize = ir.node("QuantizeLinear", [conv.outputs[0], scale, zero], {"axis": 1})
    model.graph.append(quantize)
    model.graph.outputs.append(quantize.outputs[0])
    quantize.outputs[0].name = "levels"
    assert qdq.fold_weights(model) == 1
    assert "QuantizeLinear" in [node.op_type for node in model.graph]


def test_a_layer_tells_its_integers_and_what_they_stand_for():
    model = fake_quantized()
    weights = model.graph.initializers["w"].const_value.numpy()
    qdq.fold_weights(model)
    [layer] = qdq.layers(model)
    assert (layer.name, layer.channels, layer.axis, layer.bias, layer.input_scale) == ("conv", 4, 0, None, None)
    assert np.abs(layer.dequantized() - np.clip(weights, -1.28, 1.27)).max() <= 0.05 / 2 + 1.3  # channel 0 saturates
    inside = np.abs(weights) <= 127 * layer.along(layer.scale)
    assert np.abs(layer.dequantized() - weights)[inside].max() <= 0.05 / 2 + 1e-6


@pytest.mark.integration
def test_every_layer_of_a_quantized_network_is_found(quantized):
    found = list(qdq.layers(ir.load(quantized("x86-avx2", "onnxruntime"))))
    assert len(found) == 8
    assert all(layer.input_scale is not None and layer.bias_scale().shape == (layer.channels,) for layer in found)
    gemm = found[-1]
    assert (gemm.node.op_type, gemm.channels) == ("Gemm", 4)


@pytest.mark.integration
def test_float_and_quantized_graphs_are_told_apart(exported, quantized):
    assert not qdq.is_quantized(ir.load(exported))
    assert qdq.is_quantized(ir.load(quantized("x86-avx2", "onnxruntime")))
