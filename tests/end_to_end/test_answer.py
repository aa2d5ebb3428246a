"""What a run says is what its files say."""

from __future__ import annotations

import csv
import json

import numpy as np
import onnxruntime
import pytest
from onnx import load_model, numpy_helper

import compress
from compress.bench.run.results import from_json, to_json
from compress.models.counts import count_onnx

pytestmark = pytest.mark.integration


def rows(result: compress.RunResult) -> dict[str, object]:
    return {row.id: row for row in result.results.variants}


def test_every_stage_has_a_row_on_every_runtime_and_target(finished):
    wanted = {"teacher/this-machine/pytorch"}
    for place in ("this-machine/onnxruntime", "this-machine/openvino", "raspberry-pi-5/onnxruntime"):
        wanted |= {f"{stage}/{place}" for stage in ("teacher", "prune", "distill", "quantize")}
    assert set(rows(finished)) == wanted


def test_what_cannot_be_measured_here_has_a_file_and_a_reason_and_no_figures(finished):
    for row in finished.results.variants:
        if row.target == "raspberry-pi-5":
            assert "Raspberry Pi 5" in row.not_measured
            assert row.latency is row.memory is row.accuracy is None
            assert (finished.out / row.file).stat().st_size == row.size
    verdicts = [v for v in finished.results.verdicts if v.target == "raspberry-pi-5"]
    assert verdicts and {v.verdict for v in verdicts} == {"not measured"}


def test_accuracy_and_flips_are_those_of_the_files_run_by_the_bare_runtime(finished, small_data):
    answers = {}
    for stage in ("teacher", "prune", "distill", "quantize"):
        row = rows(finished)[f"{stage}/this-machine/onnxruntime"]
        engine = onnxruntime.InferenceSession(finished.out / row.file)
        answers[stage] = engine.run(None, {"input": small_data.test.inputs})[0].argmax(1) == small_data.test.labels
        assert row.accuracy.correct == answers[stage].sum()
        assert row.accuracy.n == len(small_data.test)
    drop = rows(finished)["quantize/this-machine/onnxruntime"].accuracy.drop_vs_teacher
    assert drop.worse == (answers["teacher"] & ~answers["quantize"]).sum()
    assert drop.better == (~answers["teacher"] & answers["quantize"]).sum()
    assert drop.low <= drop.value <= drop.high


def test_latency_is_that_of_the_calls_in_the_store(finished, store):
    place = "this-machine/onnxruntime"
    key = next(s.key for s in finished.results.stages if s.label == f"measure/{place}")
    with np.load(store / "objects" / key / "calls.npz") as calls:
        for stage in ("teacher", "quantize"):
            seconds = calls[f"{stage}/{place}:seconds"]
            latency = rows(finished)[f"{stage}/{place}"].latency
            assert latency.p50_calls == pytest.approx(np.median(seconds))
            assert latency.p99 == pytest.approx(np.percentile(seconds, 99))
            assert latency.n == len(seconds)
        rounds = calls[f"teacher/{place}:round"].max() + 1  # a busy machine may not get through all it was asked for
        medians = [
            [np.median(calls[f"{name}:seconds"][calls[f"{name}:round"] == number]) for number in range(rounds)]
            for name in (f"teacher/{place}", f"quantize/{place}")
        ]
        placement = calls["placement"]
    for number, stage in enumerate(("teacher", "quantize")):
        latency = rows(finished)[f"{stage}/{place}"].latency
        assert latency.p50 == latency.interval.value == pytest.approx(typical(medians[number], placement))
    ratio = rows(finished)[f"quantize/{place}"].latency.ratio_to_teacher
    assert ratio.value == pytest.approx(typical(np.divide(*medians), placement))
    assert ratio.low <= ratio.value <= ratio.high


def typical(rounds: np.ndarray, placement: np.ndarray) -> float:
    """Over the openings of the models: the median of all pairwise means of the logarithms."""
    logs = np.log(rounds)
    logs = np.array([np.median(logs[placement == number]) for number in np.unique(placement)])
    return np.exp(np.median([(logs[i] + logs[j]) / 2 for i in range(len(logs)) for j in range(i, len(logs))]))


def test_size_and_macs_are_those_of_the_files(finished):
    for row in finished.results.variants:
        if row.runtime == "onnxruntime":
            path = finished.out / row.file
            assert row.size == path.stat().st_size
            if row.precision == "fp32":
                assert (count_onnx(path).macs, row.stage) == (row.macs, row.stage)
        if row.runtime == "openvino":
            path = finished.out / row.file
            assert row.size == path.stat().st_size + path.with_suffix(".bin").stat().st_size


def test_pruning_left_fewer_weights_and_int8_stores_them_in_bytes(finished):
    found = rows(finished)
    teacher, pruned, small = (found[f"{s}/this-machine/onnxruntime"] for s in ("teacher", "distill", "quantize"))
    assert pruned.params < 0.7 * teacher.params
    tensors = [numpy_helper.to_array(t) for t in load_model(finished.out / small.file).graph.initializer]
    assert sum(t.size for t in tensors if t.dtype == np.int8) > 0.9 * pruned.params
    assert small.size < pruned.size


def test_int8_agrees_with_float_and_float_with_torch(finished):
    for runtime in ("onnxruntime", "openvino"):
        found = rows(finished)
        float_, small = found[f"distill/this-machine/{runtime}"], found[f"quantize/this-machine/{runtime}"]
        assert float_.agreement["torch"] == 1
        assert float_.agreement["max_abs_diff"] < 1e-3
        assert small.agreement["float"] > 0.9


def test_every_row_but_the_first_compares_its_speed_with_the_teacher_there(finished):
    for row in finished.results.variants:
        if row.stage != "teacher" and row.target == "this-machine":
            for ratio in (row.latency.ratio_to_teacher, row.latency.ratio_to_torch, row.latency.ratio_to_parent):
                assert ratio.low <= ratio.value <= ratio.high
            assert row.memory.interpreter < row.memory.loaded <= row.memory.peak


def test_every_stage_and_runtime_has_a_verdict_with_figures(finished):
    found = {(v.stage, v.runtime): v for v in finished.results.verdicts if v.target == "this-machine"}
    assert set(found) == {
        (stage, runtime)
        for stage in ("prune", "distill", "quantize", "student")
        for runtime in ("onnxruntime", "openvino")
    }
    assert all(v.verdict != "not measured" and any(c.isdigit() for c in v.reason) for v in found.values())


def test_the_folder_holds_the_answer_in_four_forms(finished):
    text = (finished.out / "results.json").read_text()
    assert to_json(finished.results) == to_json(from_json(text)) == text
    with (finished.out / "table.csv").open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(finished.results.variants)
    assert "| quantize" in (finished.out / "table.md").read_text()
    page = (finished.out / "report.html").read_text()
    assert "<svg" in page and "http://" not in page.replace("http://www.w3.org", "") and "<script src" not in page


def test_the_splits_are_told_with_their_proof(finished, small_data):
    data = finished.results.data
    assert data["splits"] == {"train": 512, "calibration": 64, "validation": 128, "test": 256}
    assert "BLAKE2b" in data["disjoint"] and data["fingerprint"] == small_data.fingerprint


def test_the_environment_names_machine_and_versions(finished):
    environment = json.loads((finished.out / "results.json").read_text())["environment"]
    assert environment["machine"]["cores"] >= 1
    assert environment["versions"]["onnxruntime"] == onnxruntime.__version__
