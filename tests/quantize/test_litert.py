"""Full-integer LiteRT files, made of a float file that the converter wrote (see targets/test_litert.py)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from compress.data.dataset import Dataset, Split
from compress.errors import DataError, QuantizationError
from compress.quantize import litert
from compress.quantize.job import Job
from compress.recipe import Quantize
from compress.targets import litert_graph
from compress.targets.scheme import OPERATORS, Scheme
from edge_runtime import open_session

CONVERTED = Path(__file__).parents[1] / "targets" / "converted.tflite"
SCHEME = Scheme("litert", "s8", 8, False, True, True, "int32", OPERATORS, "LiteRT's int8 kernels")

pytestmark = pytest.mark.integration
pytest.importorskip("ai_edge_quantizer", reason="an extra: pip install 'compress[litert]'")


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("float") / "model.tflite"
    model = litert_graph.read(CONVERTED.read_bytes())
    litert_graph.tidy(model, {})
    litert_graph.write(model, path)
    # The calibration samples are checked against the ONNX file, of which only the input matters here.
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["input"], ["logits"])],
        "input",
        [helper.make_tensor_value_info("input", TensorProto.UINT8, ["batch", 1, 12, 12])],
        [helper.make_tensor_value_info("logits", TensorProto.UINT8, ["batch", 144])],
    )
    onnx.save(helper.make_model(graph), path.with_suffix(".onnx"))
    return path


@pytest.fixture
def job(exported: Path, small_data: Dataset, tmp_path: Path):
    said = []

    def make(data: Dataset = small_data, scheme: Scheme = SCHEME, **settings: object) -> Job:
        return Job(
            runtime="litert",
            onnx=exported.with_suffix(".onnx"),
            model=exported,
            out=tmp_path / "out" / "model.tflite",
            scheme=scheme,
            settings=Quantize(**{"samples": 64} | settings),
            data=data,
            say=said.append,
        )

    make.said = said
    return make


def answers(path: Path, data: Dataset) -> np.ndarray:
    with open_session(path) as session:
        return session.predict(data.test.inputs)


@pytest.mark.parametrize("calibration", ["minmax", "entropy", "percentile", "mse"])
def test_every_layer_is_int8_and_answers_as_in_float(job, exported, small_data, calibration):
    made = job(calibration=calibration)
    story = litert.quantize(made)
    assert story[0] == "4 of 4 layers have int8 weights, inputs and outputs"
    assert all(layer.int8 for layer in litert_graph.layers(made.out))
    expected, found = answers(exported, small_data), answers(made.out, small_data)
    step = np.ptp(expected) / 255
    assert np.abs(found - expected).mean() < 3 * step


def test_input_and_output_stay_as_they_were(job, exported):
    made = job()
    litert.quantize(made)
    with open_session(exported) as before, open_session(made.out) as after:
        assert (after.inputs, after.outputs) == (before.inputs, before.outputs)


def test_only_normalisation_is_computed_in_float(job):
    made = job()
    litert.quantize(made)
    names = [name for name, _ in litert_graph.operators(litert_graph.read(made.out.read_bytes()))]
    start = names.index("QUANTIZE")
    assert set(names[:start]) <= {"RESHAPE", "TRANSPOSE", "CAST", "MUL", "ADD"}
    assert names.count("QUANTIZE") == names.count("DEQUANTIZE") == 1
    assert names[-1] == "DEQUANTIZE"


def test_ranges_do_not_depend_on_the_batches_they_came_in(exported, small_data):
    samples = small_data.calibration.inputs[:70]
    whole = litert.collect(exported, samples, "minmax", SCHEME)
    parts = [litert.collect(exported, samples[index : index + 7], "minmax", SCHEME) for index in range(0, 70, 7)]
    for name, (low, high) in whole.items():
        assert low == pytest.approx(min(part[name][0] for part in parts), abs=1e-5)
        assert high == pytest.approx(max(part[name][1] for part in parts), abs=1e-5)


def test_excluded_layers_stay_in_float(exported, small_data, tmp_path):
    found = litert.collect(exported, small_data.calibration.inputs[:32], "minmax", SCHEME)
    name = litert_graph.layers(exported)[1].name
    litert_graph.write(litert.build(exported, found, SCHEME, {name}), tmp_path / "model.tflite")
    assert [layer.int8 for layer in litert_graph.layers(tmp_path / "model.tflite")] == [True, False, True, True]


def test_a_quantized_file_is_refused(job, exported):
    made = job()
    litert.quantize(made)
    again = replace(made, model=made.out, out=made.out.parent / "again" / "model.tflite")
    with pytest.raises(QuantizationError, match="is quantized already"):
        litert.quantize(again)
    assert not again.out.parent.exists()


def test_a_scheme_without_kernels_is_refused(job):
    made = job(scheme=replace(SCHEME, activations="u8"))
    with pytest.raises(QuantizationError, match="s8 activations, 8-bit weights"):
        litert.quantize(made)
    assert not made.out.exists()


def test_samples_of_another_shape_are_refused(job, small_data):
    wrong = Split(np.zeros((8, 1, 9, 9), np.uint8), np.zeros(8, np.int64))
    with pytest.raises(DataError, match="9"):
        litert.quantize(job(data=replace(small_data, calibration=wrong)))


def test_corrections_that_are_not_made_are_told(job):
    litert.quantize(made := job(equalize=True, smooth=0.5))
    assert made.out.exists()
    assert job.said == ["equalize and smooth: not done for litert, whose files another quantizer writes"]
