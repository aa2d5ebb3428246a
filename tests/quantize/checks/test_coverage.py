from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import onnxruntime.quantization as ort_quantization
import pytest
from onnx import TensorProto, helper, numpy_helper

from compress.errors import QuantizationError
from compress.quantize.checks.coverage import int8_coverage
from compress.quantize.dynamic import quantize_file
from compress.quantize.weight_only import compress_openvino
from compress.targets import litert_graph
from compress.targets import openvino as openvino_export
from compress.targets.scheme import scheme
from compress.targets.target import load_target

pytestmark = pytest.mark.integration


def write(path: Path, nodes: list, constants: dict[str, object], outputs: tuple[str, ...], shape: list[int]) -> Path:
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", *shape])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)
    return path


def one_layer(path: Path, case: str = "plain") -> Path:
    """A convolution between pairs, spoiled as ``case`` says."""
    signed = case.startswith("s8")
    integer, weights = np.int8 if signed else np.uint8, np.ones((4, 4, 3, 3), np.int8)
    zero = integer(0 if signed else 128)
    constants = {
        **{"scale": np.float32(0.02), "zero": zero, "weights": weights},
        **{"weight_scale": np.float32(0.01), "weight_zero": np.int8(0)},
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["input", "scale", "zero"], ["quantized"]),
        helper.make_node("DequantizeLinear", ["quantized", "scale", "zero"], ["value"]),
        helper.make_node("DequantizeLinear", ["weights", "weight_scale", "weight_zero"], ["kernel"]),
    ]
    value, kernel = ("input" if case == "input" else "value"), "kernel"
    if case in ("weights", "untouched"):
        constants["kernel"] = constants.pop("weights").astype(np.float32)
        nodes.pop()
    if case == "untouched":
        value = "input"
    operator = "ConvTranspose" if case == "no kernel" else "Conv"
    nodes += [helper.make_node(operator, [value, kernel], ["sums"], name="conv", kernel_shape=[3, 3])]
    if case in ("relu", "s8 relu"):
        nodes += [helper.make_node("Relu", ["sums"], ["relu"], name="act")]
    last, outputs = ("relu" if nodes[-1].op_type == "Relu" else "sums"), ("logits",)
    if case in ("two readers", "output"):
        nodes += [helper.make_node("Sigmoid", [last], ["other"], name="gate")]
        outputs = ("logits", "other") if case == "two readers" else ("other",)
    if case not in ("output", "untouched"):
        nodes += [
            helper.make_node("QuantizeLinear", [last, "scale", "zero"], ["last_quantized"]),
            helper.make_node("DequantizeLinear", ["last_quantized", "scale", "zero"], ["logits"]),
        ]
    if case == "untouched":
        nodes, outputs = nodes[2:], ("sums",)
    return write(path, nodes, constants, outputs, [4, 9, 9])


@pytest.mark.parametrize("target", ["x86-avx2", "x86-vnni", "raspberry-pi-5"])
def test_every_convolution_and_the_head_run_in_int8(quantized, target):
    found = int8_coverage(quantized(target, "onnxruntime"))
    assert (found.int8, found.floating, found.conversions) == ({"QLinearConv": 7, "QGemm": 1}, {}, 1)
    assert found.complete
    assert found.words == "8 of 8 convolutions and matrix products run in int8"
    assert [layer.operator for layer in found.layers] == ["Conv"] * 7 + ["Gemm"]
    assert {(layer.int8, layer.weights, layer.why) for layer in found.layers} == {(True, "int8", "")}
    assert found.unfused == ()


def test_weights_are_counted_as_they_are_stored(quantized, exported):
    stored = int8_coverage(quantized("x86-avx2", "onnxruntime"))
    original = int8_coverage(exported)
    assert list(stored.weight_bytes) == ["int8"]
    assert original.weight_bytes == {"float32": 4 * stored.weight_bytes["int8"]}
    assert stored.lines[-1].startswith("weights are stored as int8 (")


def test_a_float_file_has_no_int8(exported):
    found = int8_coverage(exported)
    assert (found.int8, sum(found.floating.values()), found.complete) == ({}, 8, False)
    assert found.words.startswith("0 of 8 convolutions and matrix products run in int8; still float: ")
    assert {layer.why for layer in found.layers} == {
        "no QuantizeLinear / DequantizeLinear around it: the quantizer left it out"
    }


def test_openvino_runs_every_convolution_in_int8(quantized, converted):
    found = int8_coverage(quantized("x86-avx2", "openvino"))
    assert (found.int8, found.floating, found.unfused) == ({"Convolution": 7, "FullyConnected": 1}, {}, ())
    assert {(layer.int8, layer.weights, layer.why) for layer in found.layers} == {(True, "int8", "")}
    assert list(found.weight_bytes) == ["int8"]
    original = int8_coverage(converted)
    assert not original.int8
    assert len(original.layers) == 8
    assert {layer.why for layer in original.layers} == {"no FakeQuantize before it: the quantizer left it out"}
    assert original.weight_bytes == {"float32": 4 * found.weight_bytes["int8"]}


REASONS = {
    "input": "its input is not quantized; only its weights are quantized, and turned back to floats to compute",
    "untouched": "no QuantizeLinear / DequantizeLinear around it: the quantizer left it out",
    "output": "its output is not quantized: Sigmoid reads it in float",
    "two readers": "its output is not quantized: Sigmoid reads it in float too",
    "relu": "Relu stands before its quantizer, whose range does not end where Relu's does",
    "no kernel": "ConvTranspose has no int8 kernel in ONNX Runtime",
}


@pytest.mark.parametrize("case", REASONS)
def test_a_layer_in_float_tells_why(tmp_path, case):
    found = int8_coverage(one_layer(tmp_path / "model.onnx", case))
    assert [(layer.name, layer.int8, layer.why) for layer in found.layers] == [("conv", False, REASONS[case])]
    assert any(REASONS[case] in line and "conv" in line for line in found.lines)


@pytest.mark.parametrize("case", ["plain", "s8"])
def test_a_layer_quantized_on_all_sides_runs_in_int8(tmp_path, case):
    found = int8_coverage(one_layer(tmp_path / "model.onnx", case))
    assert [(layer.kernel, layer.int8) for layer in found.layers] == [("QLinearConv", True)]


def test_int8_layers_that_store_float_weights_are_told(tmp_path):
    # ONNX Runtime makes integers of them whenever it loads the file, which therefore is four times as large.
    found = int8_coverage(one_layer(tmp_path / "model.onnx", "weights"))
    assert [(layer.int8, layer.weights) for layer in found.layers] == [(True, "float32")]
    assert found.weight_bytes == {"float32": 4 * 4 * 4 * 9}
    assert "stored in float, although multiplied in int8: the weights of conv" in found.lines


def test_layers_kept_in_float_on_purpose_say_so(tmp_path):
    path = one_layer(tmp_path / "model.onnx", "untouched")
    found = int8_coverage(path, kept={"conv": "it costs 0.4 points"})
    assert found.layers[0].why == "kept in float on purpose: it costs 0.4 points"


def test_pairs_beside_a_float_layer_are_left_unfused(tmp_path):
    assert int8_coverage(one_layer(tmp_path / "a.onnx", "plain")).unfused == ()
    found = int8_coverage(one_layer(tmp_path / "b.onnx", "two readers"))
    assert found.unfused[0].startswith("between the input and Conv conv")
    assert len(found.unfused) == 2


def test_signed_activations_that_fuse_on_arm_only_are_told_apart(quantized):
    path = quantized("raspberry-pi-5", "onnxruntime")
    here = int8_coverage(path, arch="x86_64")
    assert int8_coverage(path).complete
    assert sum(here.floating.values()) > 0
    reasons = {layer.why for layer in here.layers if not layer.int8}
    assert reasons == {"s8 activations do not fuse here on x86 (u8 ones do; ARM sessions fuse both)"}
    assert len(here.unfused) > 0


def test_dynamic_int8_counts_as_int8(tmp_path):
    weights = np.random.default_rng(0).standard_normal((16, 8)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["input", "weights"], ["logits"], name="product")]
    path = write(tmp_path / "float.onnx", nodes, {"weights": weights}, ("logits",), [16])
    ort_quantization.quantize_dynamic(path, tmp_path / "dynamic.onnx")
    found = int8_coverage(tmp_path / "dynamic.onnx")
    assert (sum(found.int8.values()), found.floating) == (1, {})
    assert [(layer.operator, layer.int8, layer.weights) for layer in found.layers] == [("MatMulInteger", True, "int8")]


def attention(path: Path) -> Path:
    """A convolution, a product with weights, and one of two activations."""
    rng = np.random.default_rng(0)
    constants = {
        "kernel": rng.standard_normal((16, 4, 3, 3)).astype(np.float32),
        "weights": rng.standard_normal((7, 16)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["input", "kernel"], ["rows"], name="conv", kernel_shape=[3, 3]),
        helper.make_node("MatMul", ["rows", "weights"], ["keys"], name="product"),
        helper.make_node("Transpose", ["keys"], ["turned"], perm=[0, 1, 3, 2]),
        helper.make_node("MatMul", ["keys", "turned"], ["logits"], name="scores"),
    ]
    return write(path, nodes, constants, ("logits",), [4, 9, 9])


def test_what_dynamic_int8_leaves_out_on_purpose_says_so(tmp_path):
    source = attention(tmp_path / "float.onnx")
    quantize_file(source, tmp_path / "dynamic.onnx", scheme(load_target("x86-avx2"), "onnxruntime"))
    found = {layer.name: layer for layer in int8_coverage(tmp_path / "dynamic.onnx").layers}
    assert found["product"].int8
    assert found["conv"].weights == "int8"
    assert found["conv"].why.startswith("`method: dynamic` leaves convolutions in float")
    assert found["scores"].why.startswith("it multiplies two activations")
    assert {layer.why for layer in int8_coverage(source).layers} == {REASONS["untouched"]}


def test_products_of_two_activations_are_told_apart_in_openvino_too(tmp_path):
    source = attention(tmp_path / "float.onnx")
    openvino_export.export(source, tmp_path / "float.xml")
    compress_openvino(tmp_path / "float.xml", tmp_path / "small.xml", 8, 32)
    *_, product, scores = int8_coverage(tmp_path / "small.xml").layers
    assert scores.why.startswith("it multiplies two activations")
    assert product.int8 or product.why.startswith("only its weights are quantized")


def test_4_bit_weights_compute_in_float(tmp_path):
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    weights = np.random.default_rng(0).standard_normal((64, 32)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["input", "weights"], ["logits"], name="product")]
    path = write(tmp_path / "float.onnx", nodes, {"weights": weights}, ("logits",), [64])
    quantizer = MatMulNBitsQuantizer(onnx.load(path), block_size=32, is_symmetric=True)
    quantizer.process()
    quantizer.model.save_model_to_file(str(tmp_path / "int4.onnx"))
    found = int8_coverage(tmp_path / "int4.onnx")
    assert (found.int8, found.floating) == ({}, {"MatMulNBits": 1})
    assert found.layers[0].weights == "int4"
    assert found.layers[0].why == "only its weights are quantized, and turned back to floats to compute"
    assert found.weight_bytes == {"int4": 64 * 32 // 2}


def test_tensorrt_files_are_read_without_tensorrt(quantized):
    engine = scheme(load_target("nvidia-gpu"), "tensorrt")
    good = int8_coverage(quantized("nvidia-gpu", "tensorrt"), engine)
    assert (good.int8, good.floating) == ({"Conv": 7, "Gemm": 1}, {})
    bad = int8_coverage(quantized("x86-avx2", "onnxruntime"), engine)
    assert not bad.complete
    assert {layer.why for layer in bad.layers} == {"TensorRT refuses u8, it takes s8 only"}
    assert "TensorRT" in bad.seen


def write_product(path: Path, activations: str, weights: str) -> Path:
    """A LiteRT file of one matrix product, of tensors in the named types."""
    classes = litert_graph.schema()
    sizes, model, graph = {"FLOAT32": 4, "INT8": 1}, classes.ModelT(), classes.SubGraphT()
    model.version, graph.tensors, model.buffers = 3, [], []
    for name, kind, shape in (("input", activations, [1, 8]), ("w", weights, [4, 8]), ("head", activations, [1, 4])):
        tensor, buffer = classes.TensorT(), classes.BufferT()
        tensor.name, tensor.type, tensor.shape = name, getattr(classes.TensorType, kind), shape
        tensor.buffer = len(model.buffers)
        buffer.data = np.zeros(32 * sizes[kind], np.uint8) if name == "w" else None
        graph.tensors.append(tensor)
        model.buffers.append(buffer)
    operator, code = classes.OperatorT(), classes.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = classes.BuiltinOperator.FULLY_CONNECTED
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0, 1], [2]
    graph.inputs, graph.outputs, graph.operators = [0], [2], [operator]
    model.operatorCodes, model.subgraphs = [code], [graph]
    litert_graph.write(model, path)
    return path


@pytest.mark.parametrize(
    ("activations", "weights", "kernel", "stored"),
    [
        ("INT8", "INT8", "FULLY_CONNECTED", {"int8": 32}),
        ("FLOAT32", "INT8", "hybrid FULLY_CONNECTED", {"int8": 32}),
        ("FLOAT32", "FLOAT32", None, {"float32": 128}),
    ],
)
def test_litert_files_are_described(tmp_path, activations, weights, kernel, stored):
    pytest.importorskip("ai_edge_litert", reason="reads .tflite files")
    path = write_product(tmp_path / "model.tflite", activations, weights)
    found = int8_coverage(path)
    assert [layer.kernel if layer.int8 else None for layer in found.layers] == [kernel]
    assert (found.complete, found.weight_bytes) == (kernel is not None, stored)
    assert found.layers[0].name == "head"


def test_coverage_is_json(quantized):
    for runtime in ("onnxruntime", "openvino"):
        found = asdict(int8_coverage(quantized("x86-avx2", runtime)))
        assert json.loads(json.dumps(found))["layers"][0]["int8"] is True


@pytest.mark.parametrize("name", ["model.onnx", "model.xml", "model.tflite"])
def test_a_file_that_no_runtime_reads_is_an_error_with_its_name(tmp_path, name):
    (tmp_path / name).write_bytes(b"not a model")
    with pytest.raises(QuantizationError, match=name):
        int8_coverage(tmp_path / name)


def test_an_openvino_deconvolution_that_takes_integers_and_computes_in_float_is_float(tmp_path):
    import openvino
    from openvino import opset13 as ops

    low, high, step = (ops.constant(np.float32(value)) for value in (0, 25.5, 0.01))
    inputs = ops.parameter([-1, 8, 9, 9], np.float32, name="input")
    kernel = ops.multiply(ops.convert(ops.constant(np.ones((8, 8, 3, 3), np.int8)), np.float32), step)
    layer = ops.convolution_backprop_data(ops.fake_quantize(inputs, low, high, low, high, 256), kernel, [2, 2])
    layer.set_friendly_name("up")
    openvino.save_model(openvino.Model([layer], [inputs]), tmp_path / "model.xml", compress_to_fp16=False)
    found = int8_coverage(tmp_path / "model.xml")
    kernel = found.layers[0]
    assert (kernel.name, kernel.operator, kernel.weights) == ("up", "ConvolutionBackpropData", "int8")
    assert kernel.int8 == bool(found.int8)  # whether this CPU has such a kernel is its own affair
    assert (kernel.why == "") == kernel.int8
