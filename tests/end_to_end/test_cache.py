"""Nothing is done twice, and nothing that is out of date is used."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from small_recipe import RECIPE, kill_at, kind_of, write_data

import compress
from compress.bench.run.results import from_json
from compress.data.dataset import Split

pytestmark = pytest.mark.integration


def test_a_second_run_does_nothing_and_says_the_same(finished, project, store):
    seen = []
    again = compress.run(project / "small.yaml", store=store, out=project / "again", emit=seen.append, threads=1)
    assert [e for e in seen if e.kind in ("start", "done")] == []
    assert again.results.variants == finished.results.variants
    assert all(stage.cached for stage in again.results.stages)


def test_name_budget_and_output_folder_change_nothing(finished, stages_done):
    assert stages_done("name=other", "budget.size=1 MB") == []


def test_a_changed_measurement_repeats_only_the_measurements(finished, stages_done):
    assert {kind_of(label) for label in stages_done("measure.rounds=9")} == {"measure"}


def test_a_changed_stage_repeats_itself_and_what_follows(finished, stages_done):
    done = stages_done("stages.1.distill.temperature=2")
    assert "distill" in done and "distill/onnx" in done and "evaluate/distill" in done
    assert not {"teacher", "prune", "prune/onnx", "evaluate/prune", "evaluate/teacher/onnx"} & set(done)


def test_other_calibration_samples_repeat_quantization_and_no_training(finished, stages_done):
    done = {kind_of(label) for label in stages_done("stages.2.quantize.samples=32")}
    assert done == {"quantize", "evaluate", "measure"}


def test_changed_data_repeats_everything(finished, project, store, small_data, tmp_path):
    labels = small_data.train.labels.copy()
    labels[0] = (labels[0] + 1) % 4
    train = Split(small_data.train.inputs, labels)
    write_data(tmp_path / "data.npz", replace(small_data, train=train))
    (tmp_path / "small.yaml").write_text(RECIPE)
    seen = []
    compress.run(tmp_path / "small.yaml", store=store, out=tmp_path / "out", emit=seen.append, threads=1)
    assert not [e for e in seen if e.kind == "cached"]


def test_remeasure_times_again_and_trains_nothing(finished, project, tmp_path, store):
    seen = []
    compress.run(project / "small.yaml", store=store, out=tmp_path, emit=seen.append, threads=1, remeasure=True)
    assert {kind_of(e.stage) for e in seen if e.kind == "done"} == {"measure"}


def test_a_run_killed_in_every_kind_of_stage_goes_on_and_ends_the_same(finished, start, tmp_path):
    store = tmp_path / "store"
    for kind in ("teacher", "prune", "distill", "export", "quantize", "evaluate", "measure"):
        with start(store, tmp_path / "out") as process:
            seen = kill_at(process, kind)
        assert seen[-1]["event"] == "start", f"the run ended before it came to {kind}"
    process = start(store, tmp_path / "out")
    events, errors = process.communicate()
    assert process.returncode == 0, errors
    assert any(json.loads(line)["event"] == "cached" for line in events.splitlines())
    ended = from_json((tmp_path / "out" / "results.json").read_text())
    assert [row.accuracy for row in ended.variants] == [row.accuracy for row in finished.results.variants]
    assert [row.size for row in ended.variants] == [row.size for row in finished.results.variants]


def test_two_runs_at_once_on_one_store_both_end_well(start, tmp_path):
    runs = [start(tmp_path / "store", tmp_path / name) for name in ("one", "two")]
    for run in runs:
        _, errors = run.communicate(timeout=400)
        assert run.returncode == 0, errors
    one, two = ((tmp_path / name / "results.json").read_text() for name in ("one", "two"))
    assert json.loads(one)["variants"] == json.loads(two)["variants"]
