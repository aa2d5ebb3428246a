"""Counting by hand, in PyTorch and in ONNX; and reading an ONNX teacher."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from compress.data import Dataset, Split
from compress.errors import ModelError
from compress.models import ModelSpec, build
from compress.models.counts import Counts, count, count_onnx
from compress.models.onnx_info import check, info


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def dataset(shape=(2, 8, 8), classes=3, dtype=np.uint8):
    split = Split(np.zeros((4, *shape), dtype), np.arange(4) % classes)
    return Dataset("d", split, split, split, split, tuple(map(str, range(classes))))


def test_layers_are_counted_as_by_hand():
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),  # 8*8 * 4 * 2*9 = 4608
        nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=4),  # 4*4 * 4 * 9 = 576
        nn.ConvTranspose2d(4, 6, 2, stride=2),  # 4*4 * 4 * 6*4 = 1536
        nn.BatchNorm2d(6),
        nn.Flatten(),
        nn.Linear(6 * 8 * 8, 3),  # 384 * 3 = 1152
    )
    params = (4 * 2 * 9 + 4) + (4 * 9 + 4) + (4 * 6 * 4 + 6) + 2 * 6 + (384 * 3 + 3)
    assert count(model, torch.zeros(1, 2, 8, 8)) == Counts(params, 4608 + 576 + 1536 + 1152)
    assert count(model, torch.zeros(5, 2, 8, 8)).macs == 4608 + 576 + 1536 + 1152


def test_counting_leaves_the_network_as_it_was():
    model = build(ModelSpec("convnet", {"classes": 3, "channels": 1})).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    count(model, torch.zeros(1, 1, 8, 8))
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not any(m._forward_hooks for m in model.modules())


@pytest.mark.parametrize(
    ("spec", "params", "macs"),
    [
        (ModelSpec("resnet", {"widths": [16, 64, 128], "blocks": [1, 2, 2]}), 653_178, 53_100_032),
        (ModelSpec("convnet"), 75_370, 6_548_928),
        (ModelSpec("dscnn"), 31_370, 4_636_288),
    ],
)
def test_the_architectures_have_the_sizes_their_documentation_says(spec, params, macs):
    model = build(ModelSpec(spec.architecture, {"classes": 10, "channels": 1, **spec.arguments}))
    assert count(model, torch.zeros(1, 1, 28, 28)) == Counts(params, macs)


def weights(name, *shape, dtype=np.float32):
    return numpy_helper.from_array(np.ones(shape, dtype), name)


def write(path, *, batch="batch", shape=(2, 8, 8), dtype=TensorProto.FLOAT, classes=3, outputs=1, quantized=False):
    """A convolution 2 -> 4, a pooling, and a fully connected layer 4 -> classes, by hand."""
    kernel, bias, constants = "w", "b", [weights("w", 4, 2, 3, 3), weights("b", 4)]
    nodes = [helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT)]
    feed = "f"
    if quantized:
        constants = [
            weights("wq", 4, 2, 3, 3, dtype=np.int8),
            weights("bq", 4, dtype=np.int32),
            weights("s", 4),
            numpy_helper.from_array(np.zeros(4, np.int8), "z"),
            numpy_helper.from_array(np.zeros(4, np.int32), "zb"),
            numpy_helper.from_array(np.float32(0.1), "sa"),
            numpy_helper.from_array(np.uint8(3), "za"),
        ]
        nodes += [
            helper.make_node("DequantizeLinear", ["wq", "s", "z"], ["w"], axis=0),
            helper.make_node("DequantizeLinear", ["bq", "s", "zb"], ["b"], axis=0),
            helper.make_node("QuantizeLinear", ["f", "sa", "za"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "sa", "za"], ["d"]),
        ]
        feed = "d"
    nodes += [
        helper.make_node("Conv", [feed, kernel, bias], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Flatten", ["p"], ["v"]),
        helper.make_node("MatMul", ["v", "m"], ["y0"]),
        *[helper.make_node("Identity", ["y0"], [f"y{i}"]) for i in range(1, outputs)],
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", dtype, [batch, *shape])],
        [helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, [batch, classes]) for i in range(outputs)],
        [*constants, weights("m", 4, classes)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="test"), path)
    return path


CONV, HEAD = 8 * 8 * 4 * 2 * 9, 4 * 3


@pytest.mark.parametrize("batch", ["batch", 1, 5])
def test_an_onnx_file_is_counted_for_one_sample(tmp_path, batch):
    path = write(tmp_path / "m.onnx", batch=batch)
    assert count_onnx(path) == Counts(4 * 2 * 9 + 4 + 12, CONV + HEAD)


def test_a_quantized_file_has_the_counts_of_the_float_one(tmp_path):
    quantized = count_onnx(write(tmp_path / "q.onnx", quantized=True))
    assert quantized == count_onnx(write(tmp_path / "f.onnx"))


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")  # torch's own exporter
def test_an_export_has_the_macs_of_the_network(tmp_path):
    model = build(ModelSpec("dscnn", {"classes": 3, "channels": 2})).eval()
    example = torch.zeros(1, 2, 8, 8)
    torch.onnx.export(model, (example,), tmp_path / "m.onnx", dynamo=True, verbose=False)
    assert count_onnx(tmp_path / "m.onnx").macs == count(model, example).macs


def test_products_of_two_activations_are_not_counted(tmp_path):
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["a"]),
            helper.make_node("Transpose", ["a"], ["t"], perm=[0, 2, 1]),
            helper.make_node("MatMul", ["a", "t"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 5, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 5, 5])],
        [weights("w", 4, 6)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "m.onnx")
    assert count_onnx(tmp_path / "m.onnx") == Counts(24, 5 * 6 * 4)


@pytest.mark.parametrize("content", [b"", b"no protobuf at all"])
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=r"m\.onnx: not a valid ONNX file"):
        info(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=r"m\.onnx: no such file"):
        info(tmp_path / "absent" / "m.onnx")


def test_an_onnx_teacher_tells_what_it_is(tmp_path):
    found = info(write(tmp_path / "m.onnx"))
    assert (found.input.name, found.input.dtype, found.input.shape) == ("x", np.float32, (None, 2, 8, 8))
    assert (found.output.name, found.output.dtype, found.output.shape) == ("y0", np.float32, (None, 3))
    assert (found.opset, found.params, found.macs, found.producer) == (17, 88, CONV + HEAD, "test")
    check(found, dataset())
    check(found, dataset(dtype=np.float32))


@pytest.mark.parametrize(
    ("options", "data", "message"),
    [
        ({}, dataset(shape=(2, 9, 8)), r"input x has shape \(N, 2, 8, 8\) but the data is \(N, 2, 9, 8\)"),
        ({}, dataset(shape=(8, 2, 8)), r"its channels come last"),
        ({}, dataset(classes=4), r"y0 has shape \(N, 3\); \(N, 4\) is expected, one logit for each of the data's 4"),
        ({"dtype": TensorProto.INT8}, dataset(), "input x is int8, the data is uint8"),
    ],
)
def test_a_teacher_that_does_not_fit_the_data_is_refused(tmp_path, options, data, message):
    with pytest.raises(ModelError, match=message):
        check(info(write(tmp_path / "m.onnx", **options)), data)


def test_several_outputs_are_refused(tmp_path):
    with pytest.raises(ModelError, match=r"exactly one output is expected, it has 2 \(y0, y1\)"):
        info(write(tmp_path / "m.onnx", outputs=2))


def test_an_operator_of_an_unknown_domain_is_named(tmp_path):
    nodes = [helper.make_node("Foo", ["input"], ["y"], domain="my.own", name="odd")]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in ("input", "y")]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:])
    versions = [helper.make_opsetid("", 20), helper.make_opsetid("my.own", 1)]
    model = helper.make_model(graph, opset_imports=versions, ir_version=10)
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=r"m\.onnx: operator Foo of domain 'my\.own' \(node 'odd'\) is known to no"):
        info(tmp_path / "m.onnx")
    # With its definition in the file it is no stranger.
    body = [helper.make_node("Relu", ["a"], ["b"])]
    model.functions.append(helper.make_function("my.own", "Foo", ["a"], ["b"], body, versions[:1]))
    onnx.save(model, tmp_path / "m.onnx")
    assert info(tmp_path / "m.onnx").output.shape == (None, 4)
