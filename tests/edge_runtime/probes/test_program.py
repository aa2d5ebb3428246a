"""A plan that is run on real engines: which events come of it, what is refused, and what a second run leaves out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.probes import events, latency, scenarios
from edge_runtime.probes.plan import SCENARIOS, Plan, PlanModel, as_dict
from edge_runtime.probes.program import run

pytestmark = pytest.mark.integration

QUICK = {"seconds": 0.15, "precision": 0.0, "cold": 0, "memory": False}
Event = dict[str, Any]


@pytest.fixture(scope="module", autouse=True)
def short_blocks() -> Iterator[None]:
    """Blocks and bursts of milliseconds: what is measured here only has to be told rightly."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latency, "interleave", partial(latency.interleave, block_seconds=0.002))
        patch.setattr(scenarios, "BURST_SECONDS", 0.002)
        yield


@pytest.fixture(scope="module")
def folder(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("plan")
    for name in ("pixels.onnx", "pixels.xml", "pixels.bin", "two.onnx"):
        shutil.copy(models / name, place)
    (place / "broken.onnx").write_bytes(b"this is no model")
    np.savez(place / "rows.npz", input=np.zeros((5, 1, 8, 8), np.uint8))
    return place


def plan(*names: str, **values: Any) -> Plan:
    return Plan(tuple(PlanModel(name, name) for name in names), **(QUICK | values))


def ran(given: Plan, folder: Path, done: tuple[str, ...] = ()) -> list[Event]:
    """The events of a run, as they would be read back from their lines."""
    told: list[Event] = []
    run(given, folder, lambda event: told.append(json.loads(events.line(event))), done=done)
    return told


def of(told: list[Event], kind: str) -> list[Event]:
    return [event for event in told if event["event"] == kind]


@pytest.fixture(scope="module")
def everything(folder: Path) -> list[Event]:
    given = plan(
        "pixels.onnx", "pixels.xml", scenarios=SCENARIOS, batches=(4,), cold=1, memory=True, energy=True, sustain=1.0
    )
    return ran(given, folder)


def test_it_begins_with_the_machine_and_the_plan_and_ends_complete(everything: list[Event]):
    first, last = everything[0], everything[-1]
    assert (first["event"], first["schema"], first["resumed"]) == ("begin", "edge-runtime.bench/1", False)
    assert first["plan"]["models"][0]["name"] == "pixels.onnx"
    assert first["machine"]["cores"] >= 1
    assert isinstance(first["emulated"], bool)
    assert (last["event"], last["complete"]) == ("end", True)
    assert [event["at"] for event in everything] == sorted(event["at"] for event in everything)


def test_every_model_is_described(everything: list[Event]):
    one, two = of(everything, "model")
    assert (one["runtime"], two["runtime"]) == ("onnxruntime", "openvino")
    assert one["inputs"] == [{"name": "input", "dtype": "uint8", "shape": ["batch", 1, 8, 8]}]
    assert (one["source"], one["assumed"]) == ("random (seed 0)", {})
    assert two["size"] > one["size"] > 1000  # with its weights in a file of their own


def test_every_cell_has_the_rounds_of_all_its_models_and_says_how_it_ended(everything: list[Event]):
    cells = of(everything, "cell")
    assert [cell["cell"] for cell in cells] == [
        "single-stream/t1/b1", "multi-stream/t1/b8", "offline/t1/b4", "batch/t1/b4"
    ]  # fmt: skip
    for cell in cells:
        assert cell["models"] == ["pixels.onnx", "pixels.xml"]
        assert cell["method"]["ended_by"] == "seconds"
        for name in cell["models"]:
            rounds = [
                event for event in of(everything, "round") if (event["cell"], event["model"]) == (cell["cell"], name)
            ]
            assert [event["round"] for event in rounds] == list(range(cell["method"]["rounds"]))
            assert {event["samples"] % cell["batch"] for event in rounds} == {0}
            seconds = events.decode(rounds[0]["seconds"])
            assert len(seconds) == cell["method"]["calls_per_block"][name]
            assert 1e-6 < np.median(seconds) < 1
            assert {"blocks", "seconds", "stationary"} <= set(cell["method"]["warm_up"][name])
        assert {"before", "after", "worst"} == set(cell["conditions"])


def test_a_cold_start_has_its_parts_in_fresh_processes(everything: list[Event]):
    for event in of(everything, "cold"):
        assert len(event["samples"]) == 1
        for sample in event["samples"]:
            assert list(sample) == ["interpreter", "engine", "load", "first", "second"]
            assert all(seconds > 0 for seconds in sample.values())
            assert sample["engine"] > sample["second"]


def test_memory_grows_from_the_interpreter_to_the_peak(everything: list[Event]):
    for event in of(everything, "memory"):
        stages = [event[name] for name in ("interpreter", "engine", "loaded", "first", "peak")]
        assert 10e6 < stages[0] < stages[1] < stages[2] <= stages[4] < 1e9
        assert event["gpu"] is None or event["gpu"] >= 0


def test_without_a_sensor_energy_is_none_and_with_one_it_is_measured(everything: list[Event]):
    assert [event["model"] for event in of(everything, "energy")] == ["pixels.onnx", "pixels.xml"]
    if not everything[0]["machine"]["sensors"]:
        assert all(event["none"] == "no sensor found" for event in of(everything, "energy"))


def test_a_model_on_end_has_a_window_a_second_and_a_verdict(everything: list[Event]):
    windows = [event for event in of(everything, "sustain") if event["model"] == "pixels.onnx"]
    assert windows[0]["p50"] <= windows[0]["p99"]
    assert (windows[-1]["done"], windows[-1]["throttled_at"]) == (True, None)


def test_two_models_of_one_file_end_by_precision(folder: Path):
    models = (PlanModel("a", "pixels.onnx"), PlanModel("b", "pixels.onnx"))
    told = ran(Plan(models, seconds=40.0, precision=0.5, cold=0, memory=False), folder)
    (cell,) = of(told, "cell")
    assert cell["method"]["ended_by"] == "precision"
    assert cell["method"]["half_width"] <= 0.5
    assert cell["method"]["placements"] >= 8
    placements = {event["placement"] for event in of(told, "round")}
    assert placements == set(range(cell["method"]["placements"]))


def test_what_cannot_be_opened_is_refused_and_the_others_go_on(folder: Path):
    models = (
        PlanModel("gone", "gone.onnx"),
        PlanModel("broken", "broken.onnx"),
        PlanModel("engine", "pixels.onnx", "tensorrt"),
        PlanModel("rows", "pixels.onnx", inputs="gone.npz"),
        PlanModel("good", "pixels.onnx", inputs="rows.npz"),
    )
    told = ran(Plan(models, **QUICK), folder)
    refused = {event["model"]: event for event in of(told, "refused")}
    assert set(refused) == {"gone", "broken", "engine", "rows"}
    assert refused["gone"]["reason"] == "gone.onnx: there is no such file"
    assert refused["broken"]["code"] == "model-file-invalid"
    assert refused["engine"]["code"] == "engine-missing"
    assert "python -m pip install tensorrt" in refused["engine"]["reason"]
    assert "gone.npz cannot be read" in refused["rows"]["reason"]
    assert [event["source"] for event in of(told, "model")] == ["rows.npz, 5 rows"]
    assert of(told, "cell")[0]["models"] == ["good"]
    assert told[-1]["complete"]


def test_a_model_that_crashes_its_process_takes_nothing_with_it(folder: Path, tmp_path: Path, monkeypatch):
    """An engine that dies: a stand-in on the module path, as only a damaged installation has it."""
    (tmp_path / "ai_edge_litert").mkdir()
    (tmp_path / "ai_edge_litert" / "__init__.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGILL)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (folder / "crash.tflite").write_bytes(b"tfl3")
    told = ran(plan("crash.tflite", "pixels.onnx"), folder)
    (refused,) = of(told, "refused")
    assert "was ended by SIGILL" in refused["reason"]
    assert of(told, "cell")[0]["models"] == ["pixels.onnx"]


def test_a_batch_that_a_model_does_not_take_is_refused_in_that_cell_only(folder: Path, tmp_path: Path):
    import onnx

    model = onnx.load(folder / "pixels.onnx")
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, folder / "one.onnx")
    told = ran(plan("one.onnx", "pixels.onnx", scenarios=("single-stream", "batch"), batches=(4,)), folder)
    (refused,) = of(told, "refused")
    assert (refused["model"], refused["what"], refused["code"]) == ("one.onnx", "batch/t1/b4", "input-invalid")
    assert [cell["models"] for cell in of(told, "cell")] == [["one.onnx", "pixels.onnx"], ["pixels.onnx"]]


def test_sizes_that_were_assumed_and_do_not_fit_are_named(folder: Path):
    import onnx

    model = onnx.load(folder / "pixels.onnx")
    for axis in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = f"side{axis}"
    onnx.save(model, folder / "sides.onnx")
    (refused,) = of(ran(plan("sides.onnx"), folder), "refused")
    assert "side2 = 224, side3 = 224" in refused["reason"]
    told = ran(plan("sides.onnx", axes={"side2": 8, "side3": 8}), folder)
    assert of(told, "refused") == []


def test_a_size_is_that_of_the_files_which_the_plan_names(folder: Path, tmp_path: Path):
    """Whatever they are called: an exporter may put external data where it likes."""
    import onnx

    model = onnx.load(folder / "pixels.onnx")
    (tmp_path / "sub").mkdir()
    onnx.save(model, tmp_path / "sub/odd.onnx", save_as_external_data=True, location="odd.weights", size_threshold=0)
    (tmp_path / "sub/odd.onnx.data").write_bytes(bytes(1000))  # another model's
    named = Plan((PlanModel("odd", "sub/odd.onnx", beside=("odd.weights",)),), scenarios=(), **QUICK)
    (told,) = of(ran(named, tmp_path), "model")
    assert told["size"] == sum((tmp_path / "sub" / name).stat().st_size for name in ("odd.onnx", "odd.weights"))


def test_files_are_called_by_their_own_names(folder: Path, tmp_path: Path):
    (tmp_path / "models/0").mkdir(parents=True)
    (tmp_path / "models/0/broken.onnx").write_bytes(b"this is no model")
    (refused,) = of(ran(Plan((PlanModel("broken", "models/0/broken.onnx"),), **QUICK), tmp_path), "refused")
    assert "broken.onnx" in refused["reason"]
    assert "models/0" not in refused["reason"] and str(tmp_path) not in refused["reason"]


def test_a_model_without_samples_is_refused_at_once_and_in_words(folder: Path, tmp_path: Path):
    import onnx

    model = onnx.load(folder / "pixels.onnx")
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 0
    onnx.save(model, tmp_path / "zero.onnx")
    (refused,) = of(ran(plan("zero.onnx"), tmp_path), "refused")
    assert (refused["what"], refused["code"]) == ("open", "input-invalid")
    assert "an axis of it is fixed at 0" in refused["reason"]


def test_a_second_run_leaves_out_what_is_done_and_begins_anew_what_is_not(folder: Path):
    given = plan("pixels.onnx", scenarios=("single-stream", "batch"), batches=(2,), memory=True, cold=1)
    whole = ran(given, folder)
    broken = whole[: next(at for at, event in enumerate(whole) if event.get("cell") == "batch/t1/b2") + 3]
    again = ran(given, folder, tuple(events.finished(broken)))
    assert again[0]["resumed"] is True
    assert {event["what"] for event in of(again, "start")} == {"batch/t1/b2"}
    assert [event["cell"] for event in of(again, "cell")] == ["batch/t1/b2"]
    together = events.current(broken + again)
    rounds = [event["round"] for event in of(together, "round") if event["cell"] == "batch/t1/b2"]
    assert rounds == list(range(len(rounds)))
    assert events.finished(broken + again) == events.finished(whole)


@pytest.mark.parametrize(
    ("error", "why"), [(KeyboardInterrupt(), "it was interrupted"), (MemoryError(), "MemoryError: ")]
)
def test_whatever_ends_it_early_is_told(folder: Path, monkeypatch, error: BaseException, why: str):
    from edge_runtime.probes import steps

    def end(*_: object) -> None:
        raise error

    monkeypatch.setattr(steps, "time_cell", end)
    told: list[Event] = []
    with pytest.raises(type(error)):
        run(plan("pixels.onnx"), folder, told.append)
    assert (told[-1]["event"], told[-1]["complete"], told[-1]["why"]) == ("end", False, why)


def test_an_event_that_cannot_be_written_ends_it_with_that_error(folder: Path):
    def full(event: Event) -> None:
        if event["event"] == "model":
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        run(plan("pixels.onnx"), folder, full)


def test_pytorch_is_measured_through_its_entry_point(tmp_path: Path):
    from compress.models import ModelSpec, build, save

    spec = ModelSpec("resnet", {"classes": 4, "channels": 1, "stem": 8, "widths": [8], "blocks": [1]}, None)
    save(build(spec), spec, tmp_path / "torch")
    models = (PlanModel("torch", "torch/model.safetensors"),)
    told = ran(Plan(models, **QUICK, axes={"input.1": 1, "input.2": 12, "input.3": 12}), tmp_path)
    assert of(told, "refused") == []
    assert of(told, "model")[0]["runtime"] == "pytorch"
    assert of(told, "cell")[0]["models"] == ["torch"]


def test_layers_and_peaks_are_told_by_their_probes(folder: Path, monkeypatch):
    from edge_runtime.probes import peak

    monkeypatch.setattr(peak, "measure", lambda threads: {"threads": threads, "float32": {"numpy": 1e9}})
    told = ran(replace(plan("pixels.onnx"), peaks=True, profile=True), folder)
    assert of(told, "refused") == []
    assert of(told, "peaks")[0]["float32"] == {"numpy": 1e9}
    (profile,) = of(told, "profile")
    assert profile["model"] == "pixels.onnx"
    assert sum(layer["share"] for layer in profile["layers"]) == pytest.approx(1, abs=0.02)


def test_the_plan_that_is_told_is_the_one_that_was_run(everything: list[Event]):
    told = everything[0]["plan"]
    models = tuple(PlanModel(**(model | {"folders": ()})) for model in told["models"])
    assert (
        as_dict(Plan(models, SCENARIOS, batches=(4,), seconds=0.15, precision=0.0, cold=1, energy=True, sustain=1.0))
        == told
    )
