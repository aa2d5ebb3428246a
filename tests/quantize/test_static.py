from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest

from compress.data.dataset import Split
from compress.errors import CompressError
from compress.quantize import static
from compress.quantize.checks.coverage import int8_coverage
from compress.quantize.graph import onnxruntime, qdq, ranges
from compress.quantize.job import Job
from compress.recipe import Quantize
from compress.targets.scheme import scheme
from compress.targets.target import load_target

pytestmark = pytest.mark.integration
EVERYTHING = {"calibration": "mse", "equalize": True, "smooth": 0.5, "rounding": "learned", "samples": 64}


@pytest.fixture
def task(exported, converted, small_data, tmp_path):
    def make(runtime: str, **settings: object) -> Job:
        openvino = runtime == "openvino"
        out = tmp_path / "out" / ("model.xml" if openvino else "model.onnx")
        chosen = scheme(load_target("x86-avx2"), runtime)
        return Job(
            runtime, exported, converted if openvino else exported, out, chosen, Quantize(**settings), small_data
        )

    return make


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_all_corrections_together_stay_int8_and_close(task, exported, logits, runtime):
    job = task(runtime, **EVERYTHING)
    story = static.quantize(job)
    beginnings = ("equalization: ", "SmoothQuant ", "learned rounding: ", "bias correction: ")
    assert [line for line in story if line.startswith(beginnings)] == story[: len(beginnings)]
    found = int8_coverage(job.out)
    assert sum(found.int8.values()) == 8
    assert not found.floating
    expected, answers = logits(exported), logits(job.out)
    assert np.sqrt(np.mean((answers - expected) ** 2)) < 0.02 * expected.std()


def test_the_float_file_is_left_as_it_was(task, exported):
    before = exported.read_bytes()
    static.quantize(task("onnxruntime", **EVERYTHING))
    assert exported.read_bytes() == before


def test_ranges_taken_once_serve_many_builds(task):
    job = task("onnxruntime", samples=32)
    prepared, _ = static.float_graph(job)
    found = ranges.collect(prepared, job.calibration, "minmax", job.scheme)
    kept = dict(found)
    names = [layer.name for layer in qdq.layers(onnxruntime.build(prepared, found, job.scheme))]
    fewer = onnxruntime.build(prepared, found, job.scheme, {names[2], names[5]})
    assert [layer.name for layer in qdq.layers(fewer)] == [n for n in names if n not in (names[2], names[5])]
    again = onnxruntime.build(prepared, found, job.scheme)
    assert [layer.name for layer in qdq.layers(again)] == names
    assert found == kept


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("rounding", ["nearest", "learned"])
def test_bad_samples_leave_nothing_behind(task, small_data, runtime, rounding):
    job = task(runtime, rounding=rounding)
    bad = Split(small_data.calibration.inputs.astype(np.float32), small_data.calibration.labels)
    with pytest.raises(CompressError, match="are float32, but the model takes uint8"):
        static.quantize(replace(job, data=replace(small_data, calibration=bad)))
    assert not job.out.parent.exists() or not list(job.out.parent.iterdir())


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_quantized_model_is_refused(task, quantized, runtime):
    job = replace(task(runtime), onnx=quantized("x86-avx2", "onnxruntime"))
    with pytest.raises(CompressError, match=r"model\.onnx is quantized already \(.*\): give the float model"):
        static.quantize(job)
    assert not job.out.exists()


def test_names_of_layers_are_those_of_the_float_file(task, exported):
    job = task("onnxruntime", samples=16)
    static.quantize(job)
    wanted = {node.name for node in ir.load(exported).graph if node.op_type in ("Conv", "Gemm")}
    assert len(wanted) == 8
    assert {layer.name for layer in qdq.layers(ir.load(job.out))} == wanted
