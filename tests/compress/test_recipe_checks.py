from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from pydantic import ValidationError

from compress.errors import RecipeError
from compress.recipe import Recipe
from compress.recipe_file import load_recipe

BUILT = {"architecture": "resnet", "checkpoint": "t.safetensors"}
PRUNE, STUDENT = {"prune": {"ratio": 0.5}}, {"distill": {"architecture": "resnet"}}


def problems(*, teacher: object = BUILT, data: object = None, stages: object = (), targets: object = ("a",)) -> dict:
    data = data or {"source": "fashion-mnist"}
    try:
        Recipe.model_validate(
            {"name": "x", "teacher": teacher, "data": data, "stages": list(stages), "targets": list(targets)}
        )
    except ValidationError as error:
        return {detail["loc"]: detail["msg"] for detail in error.errors()}
    return {}


@pytest.mark.parametrize(
    "teacher",
    [
        BUILT,
        {"architecture": "my.module:build", "arguments": {"classes": 10}, "checkpoint": "t.pt"},
        {"architecture": "resnet", "train": {}},
        {"huggingface": "microsoft/resnet-18"},
        {"onnx": "model.onnx"},
    ],
)
def test_one_complete_source_of_the_teacher_is_fine(teacher):
    assert problems(teacher=teacher) == {}


@pytest.mark.parametrize(
    ("teacher", "where", "words"),
    [
        ({}, ("teacher",), "exactly one of checkpoint, huggingface, onnx, train; given: none"),
        ({"architecture": "resnet"}, ("teacher",), "given: none"),
        (BUILT | {"train": {}}, ("teacher",), "given: checkpoint, train"),
        ({"onnx": "a.onnx", "huggingface": "x"}, ("teacher",), "given: huggingface, onnx"),
        ({"checkpoint": "t.pt"}, ("teacher", "checkpoint"), "needs teacher.architecture"),
        ({"train": {}}, ("teacher", "train"), "needs teacher.architecture"),
        ({"onnx": "a.onnx", "architecture": "resnet"}, ("teacher", "architecture"), "brings its own"),
        ({"huggingface": "x", "architecture": "resnet"}, ("teacher", "architecture"), "brings its own"),
        ({"architecture": "resnet", "checkpoint": "t.pkl"}, ("teacher", "checkpoint"), ".safetensors, .pt, .pth"),
        ({"onnx": "a.pb"}, ("teacher", "onnx"), "ends in .onnx"),
        ({"onnx": "a.onnx", "arguments": {"x": 1}}, ("teacher", "arguments"), "belong to an architecture"),
        (BUILT | {"architecture": "os.system()"}, ("teacher", "architecture"), "package.module:callable"),
        (BUILT | {"architecture": "rezznet"}, ("teacher", "architecture"), "'rezznet'; did you mean 'resnet'?"),
        (
            BUILT | {"arguments": {"width": [8]}},
            ("teacher", "arguments", "width"),
            "resnet has no argument 'width'; did you mean 'widths'? allowed: classes, channels, stem, widths",
        ),
    ],
)
def test_contradictions_of_the_teacher(teacher, where, words):
    found = problems(teacher=teacher)
    assert list(found) == [where]
    assert words in found[where]


@pytest.mark.parametrize(
    "stages",
    [
        [],
        [PRUNE],
        [PRUNE, "distill", "quantize"],
        [STUDENT, "distill"],
        [STUDENT, PRUNE, PRUNE, "distill", {"quantize": {"samples": 1000}}],
        [PRUNE, "distill", "quantize", {"quantize": {"method": "qat"}}, {"quantize": {"to": "fp16"}}],
        [{"quantize": {"samples": 1001}}],  # the data's own calibration split may be larger than data.calibration
    ],
)
def test_sensible_orders_of_stages_are_fine(stages):
    assert problems(stages=stages) == {}


@pytest.mark.parametrize(
    ("stages", "where", "words"),
    [
        (["quantize", PRUNE], ("stages", 0, "quantize"), "quantize comes last"),
        (["quantize", {"quantize": {"to": "int8"}}], ("stages", 1, "quantize"), "listed twice"),
        ([{"quantize": {"to": "fp16", "calibration": "mse"}}], ("stages", 0, "quantize", "calibration"), "fp16 has no"),
        ([{"quantize": {"to": "mixed", "method": "qat"}}], ("stages", 0, "quantize", "method"), "mixed has one way"),
        ([{"quantize": {"training": {}}}], ("stages", 0, "quantize", "training"), "belongs to methods qat and fx"),
        (
            [{"quantize": {"method": "qat", "calibration": "mse"}}],
            ("stages", 0, "quantize", "calibration"),
            "method qat has no use for it",
        ),
        ([{"quantize": {"group": 64}}], ("stages", 0, "quantize", "group"), "belongs to int4-weights"),
        ([{"prune": {}}], ("stages", 0, "prune"), "exactly one of ratio"),
        ([{"prune": {"ratio": 0.5, "macs": 0.5}}], ("stages", 0, "prune"), "exactly one of ratio"),
        (["distill"], ("stages", 0, "distill"), "the teacher into itself: prune first"),
        ([{"distill": {"architecture": "convnett"}}], ("stages", 0, "distill", "architecture"), "mean 'convnet'?"),
        (
            [{"distill": {"architecture": "dscnn", "arguments": {"strid": 1}}}],
            ("stages", 0, "distill", "arguments", "strid"),
            "did you mean 'strides'?",
        ),
        ([PRUNE, {"distill": {"arguments": {"x": 1}}}], ("stages", 1, "distill", "arguments"), "none is given"),
    ],
)
def test_contradictions_of_the_stages(stages, where, words):
    found = problems(stages=stages)
    assert list(found) == [where]
    assert words in found[where]


@pytest.mark.parametrize("stage", [PRUNE, STUDENT])
def test_onnx_teacher_can_only_be_quantized(stage):
    found = problems(teacher={"onnx": "a.onnx"}, stages=[stage, "quantize"])
    assert [where[:2] for where in found] == [("stages", 0)]
    assert "an ONNX teacher can only be quantized" in "".join(found.values())


def test_default_number_of_calibration_samples_gives_way_to_a_small_split():
    assert problems(data={"source": "fashion-mnist", "calibration": 100}, stages=["quantize"]) == {}


@pytest.mark.parametrize("source", ["my_data:load", "package.module:load"])
def test_own_data_source_is_fine(source):
    assert problems(data={"source": source}) == {}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"source": "fashon-mnist"}, "did you mean 'fashion-mnist'?"),
        ({"source": "a b:c"}, "unknown source"),
        ({"source": "npz"}, "npz needs data.path"),
        ({"source": "image-folder"}, "image-folder needs data.path"),
    ],
)
def test_contradictions_of_the_data(data, words):
    assert words in problems(data=data)["data", "source"]


@pytest.mark.parametrize(
    ("source", "option", "words"),
    [
        ("npz", "layot", "npz has no option 'layot'; did you mean 'layout'? allowed: layout"),
        ("image-folder", "sise", "did you mean 'size'? allowed: size, channels, test_share, licence"),
        ("huggingface", "colour", "huggingface has no option 'colour'; allowed: name, config"),
        ("fashion-mnist", "size", "fashion-mnist has no option 'size'; it takes none"),
    ],
)
def test_unknown_options_of_built_in_sources_are_refused(source, option, words):
    found = problems(data={"source": source, "path": "x", "options": {option: 1}})
    assert list(found) == [("data", "options", option)]
    assert words in found["data", "options", option]


def test_duplicates_of_targets_and_runtimes_are_refused():
    found = problems(targets=["a", {"name": "b", "runtimes": ["x", "x"]}, {"name": "a"}])
    assert found == {("targets", 1, "runtimes"): "lists a runtime twice", ("targets", 2): "'a' is listed twice"}


ONNX = """\
name: x
teacher:
  onnx: mine.onnx
data: {source: fashion-mnist}
stages: [quantize]
targets: [this-machine]
"""


@pytest.fixture
def given(tmp_path):
    """Writes a recipe whose ONNX teacher has weights of a type, and gives its path."""

    def write(dtype: type, stages: str = "[quantize]"):
        weights = numpy_helper.from_array(np.ones((64, 4), dtype), "weights")
        scale = numpy_helper.from_array(np.float32(0.1), "scale")
        widen = {
            np.int8: helper.make_node("DequantizeLinear", ["weights", "scale"], ["wide"]),
            np.float16: helper.make_node("Cast", ["weights"], ["wide"], to=TensorProto.FLOAT),
        }.get(dtype, helper.make_node("Identity", ["weights"], ["wide"]))
        ends = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in (("input", ["n", 64]), ("logits", ["n", 4]))
        ]
        product = helper.make_node("MatMul", ["input", "wide"], ["logits"])
        graph = helper.make_graph([widen, product], "graph", ends[:1], ends[1:], [weights, scale])
        onnx.save(helper.make_model(graph), tmp_path / "mine.onnx")
        path = tmp_path / "x.yaml"
        path.write_text(ONNX.replace("[quantize]", stages))
        return path

    return write


@pytest.mark.parametrize(("dtype", "found"), [(np.int8, "int8"), (np.float16, "float16")])
def test_an_onnx_teacher_that_is_quantized_already_is_refused_by_its_own_name(given, dtype, found):
    path = given(dtype)
    expected = rf"^{path}:3: teacher\.onnx: mine\.onnx is quantized already \({found}\): give the float model$"
    with pytest.raises(RecipeError, match=expected):
        load_recipe(path)
    assert load_recipe(given(dtype, stages="[]")).teacher.onnx == "mine.onnx"  # it can be measured


def test_an_onnx_teacher_with_an_unknown_operator_is_refused_at_its_line(given):
    path = given(np.float32)
    model = onnx.load(path.with_name("mine.onnx"))
    model.graph.node[0].domain = "my.own"
    model.opset_import.append(helper.make_opsetid("my.own", 1))
    onnx.save(model, path.with_name("mine.onnx"))
    with pytest.raises(RecipeError, match=r":3: teacher\.onnx: mine\.onnx: operator \w+ of domain 'my\.own'"):
        load_recipe(path)


def test_a_float_onnx_teacher_may_be_quantized_and_a_damaged_one_is_named(given):
    path = given(np.float32)
    assert load_recipe(path).stages[0].quantize
    path.with_name("mine.onnx").write_bytes(b"not a model")
    with pytest.raises(RecipeError, match=r"x\.yaml:3: teacher\.onnx: .*mine\.onnx: this is no ONNX file"):
        load_recipe(path)
