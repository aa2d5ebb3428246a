from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest
from onnx import TensorProto, helper, numpy_helper

from compress.bench.roofline.cost import cost
from compress.errors import ModelError

CONVERTED = Path(__file__).parents[2] / "targets" / "converted.tflite"
RANDOM = np.random.default_rng(0)


def save(path: Path, nodes: list, inputs: dict, outputs: dict, weights: dict[str, np.ndarray]) -> Path:
    def values(shapes: dict) -> list:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]

    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "graph", values(inputs), values(outputs), tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path


def as_ir(path: Path) -> Path:
    openvino.save_model(openvino.Core().read_model(path), path.with_suffix(".xml"), compress_to_fp16=False)
    return path.with_suffix(".xml")


def floats(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> Path:
    """(batch, 4, 8, 8): convolution 4 -> 6, grouped 6 -> 6, transposed 6 -> 2, and 2x16x16 -> 5."""
    return save(
        tmp_path_factory.mktemp("network") / "network.onnx",
        [
            helper.make_node("Conv", ["input", "plain"], ["a"], name="plain", pads=[1, 1, 1, 1]),
            helper.make_node("Conv", ["a", "grouped"], ["b"], name="grouped", pads=[1, 1, 1, 1], group=6),
            helper.make_node("ConvTranspose", ["b", "up"], ["c"], name="up", strides=[2, 2]),
            helper.make_node("Flatten", ["c"], ["d"]),
            helper.make_node("MatMul", ["d", "dense"], ["logits"], name="dense"),
        ],
        {"input": ["batch", 4, 8, 8]},
        {"logits": ["batch", 5]},
        {
            "plain": floats(6, 4, 3, 3),
            "grouped": floats(6, 1, 3, 3),
            "up": floats(6, 2, 2, 2),
            "dense": floats(2 * 16 * 16, 5),
        },
    )


MACS = [64 * 6 * 4 * 9, 64 * 6 * 9, 64 * 6 * 2 * 4, 512 * 5]
WEIGHTS = 4 * (6 * 4 * 9 + 6 * 9 + 6 * 2 * 4 + 512 * 5)


def test_every_product_is_counted_with_its_activations(network):
    found = cost(network)
    assert [product.macs for product in found.products] == MACS
    assert [product.moved for product in found.products] == [
        4 * (4 * 64 + 6 * 64),
        4 * (6 * 64 + 6 * 64),
        4 * (6 * 64 + 2 * 256),
        4 * (512 + 5),
    ]
    assert (found.weights, found.inputs, found.outputs) == (WEIGHTS, 4 * 4 * 64, 4 * 5)
    assert found.macs == sum(MACS)
    assert found.largest == 4 * (6 * 64 + 2 * 256)
    assert {product.precision for product in found.products} == {"float32"}


def test_openvinos_file_of_the_same_network_costs_the_same(network):
    here, there = cost(network), cost(as_ir(network))
    assert [product.macs for product in there.products] == MACS
    assert [product.moved for product in there.products] == [product.moved for product in here.products]
    # Beside the weights it has a few constants for shapes.
    assert 0 <= there.weights - here.weights < 200
    assert (there.inputs, there.outputs) == (here.inputs, here.outputs)


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
@pytest.mark.parametrize("name", ["input", "as-the-runtime-calls-it"])
def test_a_batch_multiplies_all_but_the_weights(network, suffix, name):
    as_ir(network)
    one, eight = cost(network.with_suffix(suffix)), cost(network.with_suffix(suffix), {name: (8, 4, 8, 8)})
    assert (eight.macs, eight.inputs, eight.outputs) == (8 * one.macs, 8 * one.inputs, 8 * one.outputs)
    assert (eight.weights, eight.largest) == (one.weights, 8 * one.largest)


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_layers_between_quantizers_are_int8_and_a_byte_wide(tmp_path, suffix):
    nodes = [
        helper.make_node("QuantizeLinear", ["input", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["a"]),
        helper.make_node("DequantizeLinear", ["w", "scale", "zero_s8"], ["b"]),
        helper.make_node("Conv", ["a", "b"], ["c"], name="integer"),
        helper.make_node("Conv", ["c", "float"], ["output"], name="float"),
    ]
    weights = {
        "w": RANDOM.integers(-9, 9, (4, 3, 1, 1)).astype(np.int8),
        "float": floats(2, 4, 1, 1),
        "scale": np.array(0.1, np.float32),
        "zero": np.array(0, np.uint8),
        "zero_s8": np.array(0, np.int8),
    }
    path = save(tmp_path / "q.onnx", nodes, {"input": [1, 3, 5, 5]}, {"output": [1, 2, 5, 5]}, weights)
    found = cost(path if suffix == ".onnx" else as_ir(path))
    assert [(product.precision, product.moved) for product in found.products] == [
        ("int8", 3 * 25 + 4 * 25),
        ("float32", 4 * (4 * 25 + 2 * 25)),
    ]


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_products_of_two_activations_count_and_both_move(tmp_path, suffix):
    node = helper.make_node("MatMul", ["left", "right"], ["output"])
    shapes = {"left": [2, 3, 4], "right": [2, 4, 5]}
    path = save(tmp_path / "attention.onnx", [node], shapes, {"output": [2, 3, 5]}, {})
    found = cost(path if suffix == ".onnx" else as_ir(path))
    assert [(product.macs, product.moved) for product in found.products] == [
        (2 * 3 * 5 * 4, 4 * (2 * 3 * 4 + 2 * 4 * 5 + 2 * 3 * 5))
    ]
    assert found.weights == 0


def test_a_litert_file_is_counted_from_its_tensors():
    pytest.importorskip("ai_edge_litert", reason="an extra: pip install 'compress[litert]'")
    one, four = cost(CONVERTED), cost(CONVERTED, {"input": (4, 1, 12, 12)})
    # Convolution 1 -> 8 at half the size, depthwise, pointwise, 72 -> 4 (tests/targets/test_litert.py).
    assert [product.macs for product in one.products] == [36 * 8 * 9, 36 * 8 * 9, 36 * 8 * 8, 72 * 4]
    assert (four.macs, four.inputs, four.outputs) == (4 * one.macs, 4 * 144, 4 * one.outputs)
    assert 4 * (8 * 9 + 8 * 9 + 64 + 72 * 4) < one.weights < CONVERTED.stat().st_size


def test_what_multiplies_and_is_not_counted_is_named(tmp_path):
    node = helper.make_node("Einsum", ["left", "right"], ["output"], equation="ij,jk->ik")
    path = save(tmp_path / "e.onnx", [node], {"left": [2, 3], "right": [3, 4]}, {"output": [2, 4]}, {})
    assert (cost(path).macs, cost(path).uncounted) == (0, ("Einsum",))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.onnx", b"none", "not a readable ONNX"),
        ("a.xml", b"none", "cannot be counted"),
        ("a.tflite", b"none", "no LiteRT file"),
        ("a.pt2", b"none", r"can be counted in \.onnx, \.xml and \.tflite"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path, name, content, words):
    if name.endswith("tflite"):
        pytest.importorskip("ai_edge_litert", reason="an extra: pip install 'compress[litert]'")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=words):
        cost(tmp_path / name)
