"""The emulation is compared with the kernels themselves, bit by bit, where the CPU that runs the test has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compress.errors import QuantizationError
from compress.quantize.checks.emulate import Overflow, Prediction, emulate, predict
from edge_runtime import open_session
from edge_runtime.machine import detect as detect_machine

pytestmark = pytest.mark.integration

MACHINE = detect_machine()
WIDE = {"avx512_vnni", "avx_vnni", "amx_int8"} & set(MACHINE.features)
NARROW = MACHINE.arch == "x86_64" and not WIDE
needs_narrow = pytest.mark.skipif(
    not NARROW, reason=f"this CPU ({MACHINE.arch}, {sorted(WIDE)}) adds in 32 bits: there is no truth to compare with"
)

SCALE = np.float32(0.02)


def layer(
    operator: str, weights: np.ndarray, shape: list, activations: str = "u8", quantized: bool = True, **attributes
) -> onnx.ModelProto:
    """One layer between its pairs, over inputs of the whole 8-bit range."""
    low = {"u8": np.uint8(100), "s8": np.int8(-28)}[activations]
    middle = {"u8": np.uint8(128), "s8": np.int8(0)}[activations]
    axis = 0 if operator == "Conv" or attributes.get("transB") else weights.ndim - 1
    channels, depth = weights.shape[axis], weights.size // weights.shape[axis]
    # Not a round share of the scales: fewer sums lie half way between two steps, where floats round by chance.
    steps = np.float32(SCALE * 0.01 * 81.37 * np.sqrt(depth))
    constants = {
        "scale": SCALE,
        "zero": low,
        "weights": weights,
        "weight_scales": np.linspace(0.005, 0.01, channels, dtype=np.float32),
        "weight_zeros": np.full(channels, 128 if weights.dtype == np.uint8 else 0, weights.dtype),
        "out_scale": steps,
        "out_zero": middle,
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["input", "scale", "zero"], ["quantized"]),
        helper.make_node("DequantizeLinear", ["quantized", "scale", "zero"], ["value"]),
        helper.make_node("DequantizeLinear", ["weights", "weight_scales", "weight_zeros"], ["kernel"], axis=axis),
        helper.make_node(
            operator, ["value", "kernel"], ["sums" if quantized else "logits"], name="the_layer", **attributes
        ),
    ]
    if quantized:
        nodes += [
            helper.make_node("QuantizeLinear", ["sums", "out_scale", "out_zero"], ["sums_quantized"]),
            helper.make_node("DequantizeLinear", ["sums_quantized", "out_scale", "out_zero"], ["logits"]),
        ]
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", *shape])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def integers(shape: tuple[int, ...], largest: int = 127, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-largest, largest + 1, shape).astype(np.int8)


def inputs(shape: list[int]) -> np.ndarray:
    levels = np.random.default_rng(1).integers(0, 256, (4, *shape))
    return ((levels - 100) * SCALE).astype(np.float32)


def answers(path: Path, values: np.ndarray, optimize: bool) -> np.ndarray:
    with open_session(path, optimize=optimize) as session:
        return session.predict(values)


def three(model: onnx.ModelProto, values: np.ndarray, folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the file says, what is predicted, and what this machine's kernels give."""
    path, emulated = folder / "model.onnx", folder / "emulated.onnx"
    onnx.save(model, path)
    emulate(path, emulated, "int16-pairs")
    return answers(path, values, False), answers(emulated, values, False), answers(path, values, True)


def assert_same_kernels(found: np.ndarray, kernels: np.ndarray) -> None:
    """Equal, but for one sum in a thousand that floats round to the next step. Another order changes 400 of them."""
    steps = np.unique(np.abs(np.diff(np.unique(kernels))))[0]
    assert np.abs(found - kernels).max() < 1.01 * steps
    assert (np.abs(found - kernels) > 0.5 * steps).mean() < 0.001


CONVOLUTIONS = {
    "one input channel": ((8, 1, 3, 3), {"pads": [1, 1, 1, 1]}),
    "odd channels, stride 2": ((16, 3, 3, 3), {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
    "few outputs": ((5, 3, 3, 3), {}),
    "many channels": ((32, 64, 3, 3), {"pads": [1, 1, 1, 1]}),
    "pointwise": ((16, 16, 1, 1), {}),
    "pointwise, odd": ((7, 7, 1, 1), {}),
    "groups": ((16, 4, 3, 3), {"group": 2, "pads": [1, 1, 1, 1]}),
    "odd groups": ((6, 3, 3, 3), {"group": 2, "auto_pad": "SAME_UPPER"}),
    "several outputs for each input": ((16, 1, 3, 3), {"group": 8}),
    "dilated": ((16, 8, 3, 3), {"dilations": [2, 2], "pads": [2, 2, 2, 2]}),
    "one axis": ((16, 6, 5), {"pads": [2, 2]}),
}


@needs_narrow
@pytest.mark.parametrize("activations", ["u8", "s8"])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_overflow_as_the_kernels_of_this_machine_do(tmp_path, name, activations):
    shape, attributes = CONVOLUTIONS[name]
    image = [shape[1] * attributes.get("group", 1), *(9 for _ in shape[2:])]
    model = layer("Conv", integers(shape), image, activations, kernel_shape=shape[2:], **attributes)
    exact, emulated, kernels = three(model, inputs(image), tmp_path)
    assert_same_kernels(emulated, kernels)
    assert (exact != kernels).mean() > 0.02  # the layer does overflow


@needs_narrow
@pytest.mark.parametrize("activations", ["u8", "s8"])
@pytest.mark.parametrize("quantized", [True, False])
@pytest.mark.parametrize(("operator", "transposed"), [("MatMul", False), ("Gemm", False), ("Gemm", True)])
def test_products_overflow_as_the_kernels_of_this_machine_do(tmp_path, operator, transposed, quantized, activations):
    attributes = {"transB": int(transposed)} if operator == "Gemm" else {}
    model = layer(operator, integers((10, 31) if transposed else (31, 10)), [31], activations, quantized, **attributes)
    exact, emulated, kernels = three(model, inputs([31]), tmp_path)
    np.testing.assert_allclose(emulated, kernels, rtol=1e-5, atol=1e-5)
    assert np.abs(exact - kernels).max() > 0.1


@needs_narrow
def test_products_of_sequences_overflow_as_the_kernels_of_this_machine_do(tmp_path):
    exact, emulated, kernels = three(layer("MatMul", integers((32, 10)), [5, 32]), inputs([5, 32]), tmp_path)
    np.testing.assert_array_equal(emulated, kernels)
    assert (exact != kernels).any()


@pytest.mark.parametrize(
    ("weights", "image", "attributes"),
    [
        (integers((16, 8, 3, 3), 64), [8, 9, 9], {}),
        (integers((16, 1, 3, 3)), [16, 9, 9], {"group": 16}),
        (integers((16, 8, 3, 3)).view(np.uint8), [8, 9, 9], {}),
    ],
    ids=["7-bit weights", "depthwise", "u8 weights"],
)
def test_where_kernels_are_exact_nothing_changes(tmp_path, weights, image, attributes):
    model = layer("Conv", weights, image, kernel_shape=[3, 3], **attributes)
    exact, emulated, kernels = three(model, inputs(image), tmp_path)
    np.testing.assert_array_equal(emulated, exact)
    np.testing.assert_array_equal(kernels, exact)
    assert emulate(tmp_path / "model.onnx", tmp_path / "again.onnx", "int16-pairs") == []


def test_pairs_that_can_overflow_are_counted(tmp_path):
    # 255 * (64 + 64) fits into 16 bits; 255 * 129 does not, in either direction; signs that differ cancel out.
    weights = np.array([[64, 64, 64, 65], [-64, -65, 127, -127], [127, 1, 127, 2]], np.int8)
    onnx.save(layer("MatMul", weights.T.copy(), [4]), tmp_path / "model.onnx")
    lines = emulate(tmp_path / "model.onnx", tmp_path / "out.onnx", "int16-pairs")
    assert lines == ["the_layer: 3 of 6 pairs of weights can overflow 16 bits"]


def test_wide_sums_change_nothing(tmp_path):
    onnx.save(layer("MatMul", integers((32, 10)), [32]), tmp_path / "model.onnx")
    assert emulate(tmp_path / "model.onnx", tmp_path / "out.onnx", "int32") == []
    values = inputs([32])
    np.testing.assert_array_equal(
        answers(tmp_path / "out.onnx", values, False), answers(tmp_path / "model.onnx", values, False)
    )


def test_layers_in_float_do_not_overflow(tmp_path):
    # A convolution whose output is not quantized has no int8 kernel.
    model = layer("Conv", integers((16, 8, 3, 3)), [8, 9, 9], quantized=False, kernel_shape=[3, 3])
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(QuantizationError, match="no convolution or matrix product of this file runs in int8"):
        emulate(tmp_path / "model.onnx", tmp_path / "out.onnx", "int16-pairs")
    assert not (tmp_path / "out.onnx").exists()


def test_a_float_file_is_refused(exported, tmp_path):
    with pytest.raises(QuantizationError, match="runs in int8"):
        emulate(exported, tmp_path / "out.onnx", "int16-pairs")


def test_the_scheme_of_narrow_sums_is_predicted_to_lose_nothing(quantized, small_data):
    test = small_data.test
    found = predict(quantized("x86-avx2", "onnxruntime"), test.inputs, test.labels, "int16-pairs")
    assert (found.overflows, found.agreement, found.drop) == ((), 1.0, 0.0)
    assert found.words.startswith("no pair of weights can overflow")


@pytest.fixture(scope="session")
def saturating(quantized) -> Path:
    return quantized("x86-avx2", "onnxruntime", activations="u8", weight_bits=8)


@needs_narrow
def test_the_predicted_loss_is_the_one_of_this_machine(saturating, small_data):
    test = small_data.test
    found = predict(saturating, test.inputs, test.labels, "int16-pairs")
    kernels = answers(saturating, test.inputs, True)
    accuracy = (kernels.argmax(1) == test.labels).mean()
    assert abs(found.accuracy_emulated - accuracy) <= 0.002
    assert found.drop > 0.01  # there is a loss to predict
    assert found.words.startswith("on x86 without VNNI ")


def test_wide_sums_are_predicted_to_lose_nothing(saturating, small_data):
    test = small_data.test
    found = predict(saturating, test.inputs, test.labels, "int32")
    assert (found.overflows, found.drop) == ((), 0.0)
    assert "32 bits" in found.words


def test_a_prediction_is_told_with_its_figures():
    overflows = (Overflow("conv1", 1200, 4000), Overflow("conv2", 81, 500))
    words = Prediction("int16-pairs", 0.9427, 0.938, 0.984, 0.13, 1500, overflows).words
    assert "1,281 pairs of weights in 2 layers can overflow" in words
    assert "93.80% instead of 94.27%" in words
    assert "another class for 1.60% of 1,500 inputs" in words
