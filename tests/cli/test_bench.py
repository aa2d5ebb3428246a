"""`compress bench`: what can be asked, what is written and shown, and what becomes of it when it ends early."""

from __future__ import annotations

import base64
import csv
import json
import shutil
from pathlib import Path

import benchmark_example as example
import numpy as np
import onnx
import pytest
from bundles import KEY, OTHER_KEY, make_bundle
from onnx import TensorProto, helper, numpy_helper

from compress.bench.benchmark.measure import measure
from compress.bench.benchmark.place import claimed
from compress.bench.benchmark.request import Request
from compress.bench.benchmark.results import from_json
from compress.bench.devices import find
from compress.errors import DeviceError
from compress.progress import ignore
from edge_runtime.probes.plan import Plan, as_dict


class Recorded:
    """A device that tells what the example told, of the models that were asked for; then ends as it is told."""

    def __init__(self, name, ending=None, share=1.0):
        self.name, self.ending, self.share = name, ending, share
        self.asked: list[Plan] = []
        self.files: list[dict[str, Path]] = []

    def run(self, plan, files, on_event, *, folder):
        self.asked.append(plan)
        self.files.append(dict(files))
        assert {model.path for model in plan.models} <= set(files)
        names = tuple(model.name for model in plan.models)
        speed = dict.fromkeys(names, 1.0) | example.SPEED
        events = [example.begin(plan)]
        for cell in plan.cells:
            events += [*example.cell_rounds(cell, names, rounds=12, speed=speed), example.cell_end(cell, names)]
        events.append({"event": "end", "at": 9.0, "complete": True, "why": "all of the plan is done"})
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "events.jsonl").open("w") as file:
            for event in events[: round(self.share * len(events))]:
                file.write(json.dumps(event) + "\n")
                on_event(event)
        if self.ending:
            raise self.ending


@pytest.fixture
def device(monkeypatch):
    """``device(ending)``: what every target is from then on."""
    made = {}

    def install(ending=None, share=1.0):
        def device_for(target, connect=None, **settings):
            name = target or "this-machine"
            made[name] = Recorded(name, ending, share)
            return made[name]

        monkeypatch.setattr(find, "device_for", device_for)
        return made

    return install


@pytest.fixture
def models(tmp_path, monkeypatch):
    """Three files that nobody opens; their folder is the working folder."""
    monkeypatch.chdir(tmp_path)
    for name in example.MODELS:
        save(tmp_path / f"{name}.onnx")
    return [f"{name}.onnx" for name in example.MODELS]


def save(path, wide=4):
    """A matrix product with a dynamic batch."""
    weights = numpy_helper.from_array(np.ones((wide, wide), np.float32), "w")
    shape = ["batch", wide]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [weights],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


QUICK = ("--cold", 0, "--no-memory", "--no-energy")


def test_it_writes_every_file_and_shows_the_table(call, device, models, tmp_path):
    device()
    result = call("bench", *models, *QUICK, "--out", "out")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("this-machine\n")
    assert "single-stream, 1 thread, batch 1" in result.stdout
    assert "results: out" in result.stderr
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "benchmark.json", "events.jsonl", "report.html", "request.json", "table.csv", "table.md",
    ]  # fmt: skip
    found = from_json((tmp_path / "out/benchmark.json").read_text())
    assert [timing.model for timing in found.cells[0].timings] == list(example.MODELS)


def test_without_a_folder_it_makes_one_by_the_time(call, device, models, tmp_path):
    device()
    call("bench", *models, *QUICK)
    (folder,) = tmp_path.glob("bench-20*")
    assert (folder / "report.html").is_file()


def test_options_become_the_plan(call, device, models):
    made = device()
    np.savez("data.npz", x=np.zeros((5, 4), np.float32))
    result = call(
        "bench", *models, "--scenario", "offline,batch", "--scenario", "multi-stream", "--threads", "1,2", "--batch",
        "1, 8", "--seconds", "1 min", "--precision", "2%", "--sustain", "30m", "--axis", "sequence=64", "--inputs",
        "data.npz", "--cold", 2, "--no-memory", "--roofline", "--query", 4, "--seed", 7,
    )  # fmt: skip
    assert result.exit_code in (0, 1), result.stderr
    (plan,) = made["this-machine"].asked
    assert (plan.scenarios, plan.threads, plan.batches) == (("offline", "batch", "multi-stream"), (1, 2), (1, 8))
    assert (plan.seconds, plan.precision, plan.sustain, plan.query, plan.seed) == (60, 0.02, 1800, 4, 7)
    assert (plan.axes, plan.cold, plan.memory, plan.energy, plan.peaks) == ({"sequence": 64}, 2, False, True, True)
    assert {model.inputs for model in plan.models} == {"inputs/data.npz"}
    assert [model.runtime for model in plan.models] == ["onnxruntime"] * 3


def test_models_get_the_names_given(call, device, models):
    made = device()
    call("bench", "fp32=int8.onnx", "--model", "int8=fp32.onnx", "pruned.onnx", *QUICK)
    (plan,) = made["this-machine"].asked
    assert [(m.name, m.path) for m in plan.models] == [
        ("fp32", "models/0/int8.onnx"), ("pruned", "models/1/pruned.onnx"), ("int8", "models/2/fp32.onnx"),
    ]  # fmt: skip


def test_the_files_beside_a_model_go_with_it(call, device, models, tmp_path):
    made = device()
    (tmp_path / "m.xml").write_text("<net/>")
    (tmp_path / "m.bin").write_bytes(b"w")
    big = onnx.load("fp32.onnx")
    onnx.save(big, "big.onnx", save_as_external_data=True, location="big.weights", size_threshold=0)
    call("bench", "m.xml", "big.onnx", *QUICK)
    (files,) = made["this-machine"].files
    assert set(files) == {"models/0/m.xml", "models/0/m.bin", "models/1/big.onnx", "models/1/big.weights"}
    assert all(path.is_file() for path in files.values())


def test_json_is_one_line_a_target_and_nothing_else(call, device, models):
    device()
    result = call("bench", *models, *QUICK, "--json", "--on", "this-machine", "--on", "raspberry-pi-5")
    lines = result.stdout.splitlines()
    assert [json.loads(line)["target"] for line in lines] == ["this-machine", "raspberry-pi-5"]
    assert {json.loads(line)["schema"] for line in lines} == {"compress.benchmark/1"}


def test_several_targets_have_folders_of_their_own_and_one_report(call, device, models, tmp_path):
    device()
    result = call("bench", *models, *QUICK, "--on", "this-machine", "--on", "raspberry-pi-5", "--out", "out")
    assert result.exit_code == 0, result.stderr
    out = tmp_path / "out"
    for name in ("this-machine", "raspberry-pi-5"):
        assert from_json((out / name / "benchmark.json").read_text()).target == name
        assert (out / name / "events.jsonl").is_file()
    rows = list(csv.DictReader((out / "table.csv").read_text().splitlines()))
    assert {row["target"] for row in rows} == {"this-machine", "raspberry-pi-5"}
    assert (out / "report.html").read_text().count("<h2>") >= 2


def test_ctrl_c_keeps_and_shows_what_there_is(call, device, models, tmp_path):
    device(KeyboardInterrupt(), share=0.7)
    result = call("bench", *models, *QUICK, "--out", "out")
    assert result.exit_code == 130
    assert result.stdout.startswith("this-machine (partial)")
    assert "single-stream/t1/b1 (cut off in the middle)" in " ".join(result.stdout.split())
    assert "to go on: compress bench --resume out" in result.stderr
    assert not from_json((tmp_path / "out/benchmark.json").read_text()).complete


def test_a_lost_device_keeps_what_it_told_and_says_what_to_do(call, device, models, tmp_path):
    device(DeviceError("the connection broke: look at the cable"), share=0.7)
    result = call("bench", *models, *QUICK, "--out", "out")
    assert result.exit_code == 1
    assert "error: the connection broke: look at the cable" in result.stderr
    assert "Traceback" not in result.stderr
    assert (tmp_path / "out/report.html").is_file()


def test_a_device_that_told_nothing_is_an_error_without_tables(call, device, models, tmp_path):
    device(DeviceError("nobody answers"), share=0.0)
    result = call("bench", *models, *QUICK, "--out", "out")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.strip().endswith("error: nobody answers")


def test_resume_asks_for_the_very_same_again(call, device, models):
    made = device(KeyboardInterrupt(), share=0.5)
    call("bench", *models, *QUICK, "--seed", 3, "--out", "out")
    (first,) = made["this-machine"].asked
    made = device()
    result = call("bench", "--resume", "out")
    (again,) = made["this-machine"].asked
    assert result.exit_code == 0, result.stderr
    assert as_dict(again) == as_dict(first)
    assert json.loads(Path("out/benchmark.json").read_text())["complete"]


def test_a_recording_is_shown_again(call, device, models, tmp_path):
    device()
    before = call("bench", *models, *QUICK, "--out", "out")
    shown = call("bench", "--from", "out/events.jsonl")
    assert (shown.exit_code, shown.stdout) == (0, before.stdout)
    assert not (tmp_path / "again").exists()
    call("bench", "--from", "out", "--out", "again")
    assert (tmp_path / "again/report.html").is_file()
    assert (tmp_path / "again/benchmark.json").read_text() == (tmp_path / "out/benchmark.json").read_text()


def test_files_that_are_called_alike_are_told_apart_by_their_folders(call, device, models):
    made = device()
    Path("sub").mkdir()
    shutil.copy("fp32.onnx", "sub")
    result = call("bench", "fp32.onnx", "sub/fp32.onnx", "fp32.onnx", *QUICK, "--out", "out")
    assert result.exit_code == 0, result.stderr
    (plan,) = made["this-machine"].asked
    assert [model.name for model in plan.models] == ["fp32", "sub/fp32.onnx", "fp32-2"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "are all missing"),
        (["fp32.onnx", "--resume", "out"], "exclude each other"),
        (["fp32.onx"], "fp32.onx: there is no such file in .; did you mean 'fp32.onnx'?"),
        (["nowhere/fp32.onnx"], "no folder nowhere"),
        (["x=fp32.onnx", "x=sub/fp32.onnx"], "2 models are called 'x'"),
        (["a=sub"], "has several models, which have names"),
        (["=fp32.onnx"], "write name=path"),
        (["notes.txt"], "no runtime reads .txt"),
        (["fp32.onnx", "--runtime", "litert"], "litert does not read .onnx files; onnxruntime and "),
        (["fp32.onnx", "--runtime", "openvno"], "did you mean 'openvino'?"),
        (["fp32.onnx", "--scenario", "ofline"], "did you mean 'offline'?"),
        (["fp32.onnx", "--threads", "one"], "write whole numbers such as 1,2,4"),
        (["fp32.onnx", "--threads", "0"], "each at least 1"),
        (["fp32.onnx", "--batch", "1,99999999", "--scenario", "batch"], "key 'batches'"),
        (["fp32.onnx", "--batch", "1,8"], "--batch: 1,8: no call of single-stream has so many samples"),
        (["fp32.onnx", "--query", "4"], "--query: only multi-stream has queries"),
        (["fp32.onnx", "--seconds", "20 parsecs"], "unknown unit 'parsecs'"),
        (["fp32.onnx", "--seconds", "0"], "key 'seconds'"),
        (["fp32.onnx", "--precision", "much"], "expected a number"),
        (["fp32.onnx", "--axis", "sequence"], "write NAME=SIZE"),
        (["fp32.onnx", "--inputs", "none.npz"], "there is no such file"),
        (["fp32.onnx", "--inputs", "notes.txt"], "is no .npz file"),
        (["fp32.onnx", "--inputs", "uneven.npz"], "as many rows"),
        (["fp32.onnx", "--model-energy", "-1"], "watts above 0"),
        (["fp32.onnx", "--on", "raspbery-pi-5"], "did you mean 'raspberry-pi-5'?"),
        (["fp32.onnx", "--on", "this-machine", "--on", "this-machine"], "each target once"),
        (["fp32.onnx", "--on", "a", "--on", "b", "--connect", "ssh://c"], "--connect says where one target is"),
        (["fp32.onnx", "--connect", "http://x"], "no address of a device"),
        (["fp32.onnx", "--on", "ssh://pi@board"], "is an address, and --on names a target: write --connect ssh://pi@"),
        (["fp32.onnx", "--on", "this-machine", "--connect", "ssh://pi@board"], "leave --on away"),
        (["--resume", "sub"], "it has no request.json"),
        (["--resume", "sub", "--seconds", "60"], "--seconds: --resume goes on with what was asked before"),
        (["--from", "sub", "--threads", "4"], "--threads: --from measures nothing"),
        (["--from", "nowhere.jsonl"], "cannot be read"),
        (["--from", "notes.txt"], "line 1 is no event"),
        (["sub"], "it has no results.json"),
    ],
)
def test_what_cannot_be_asked_is_told_before_anything_runs(call, models, tmp_path, arguments, said):
    (tmp_path / "sub").mkdir()
    shutil.copy("fp32.onnx", "sub/fp32.onnx")
    (tmp_path / "notes.txt").write_text("hello\n")
    np.savez("uneven.npz", x=np.zeros((5, 4)), y=np.zeros((4, 4)))
    result = call("bench", *arguments)
    assert result.exit_code == 2, result.output
    assert said in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.glob("bench-2*"))


def test_a_target_that_is_not_here_says_how_to_reach_it(call, models):
    result = call("bench", "fp32.onnx", "--on", "raspberry-pi-5")
    assert result.exit_code == 1
    assert "--connect ssh://user@host" in result.stderr


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_another_benchmarks_folder_stays_as_it_is(call, device, models, tmp_path):
    device(KeyboardInterrupt(), share=0.5)
    call("bench", *models, *QUICK, "--model-energy", 4, "--out", "out")
    before = contents(tmp_path / "out")
    made = device()
    made.clear()
    for other in (["int8.onnx", *QUICK], [*models, *QUICK, "--seconds", 5]):
        result = call("bench", *other, "--out", "out")
        assert result.exit_code == 2
        assert "out is the folder of another benchmark: choose another with --out, or go on" in result.stderr
    assert contents(tmp_path / "out") == before and not made
    assert call("bench", "--resume", "out").exit_code == 0
    found = from_json((tmp_path / "out/benchmark.json").read_text())
    assert found.complete and {energy.measured for energy in found.energy} == {False}


@pytest.mark.parametrize("name", ["report.html", "table.md", "benchmark.json", "events.jsonl", "bundles/mine.txt"])
def test_files_that_are_there_are_not_written_over(call, device, models, tmp_path, name):
    device()
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    result = call("bench", *models, *QUICK, "--out", "out")
    assert result.exit_code == 2 and "is there already, and would be lost" in result.stderr
    assert contents(tmp_path / "out") == {Path(name): b"mine"}


def test_a_target_of_several_does_not_write_over_what_lies_in_its_folder(call, device, models, tmp_path):
    device()
    (tmp_path / "out/raspberry-pi-5").mkdir(parents=True)
    (tmp_path / "out/raspberry-pi-5/events.jsonl").write_text("mine")
    result = call("bench", *models, *QUICK, "--on", "this-machine", "--on", "raspberry-pi-5", "--out", "out")
    assert result.exit_code == 2 and "raspberry-pi-5/events.jsonl is there already" in result.stderr
    assert contents(tmp_path / "out") == {Path("raspberry-pi-5/events.jsonl"): b"mine"}


def test_a_recording_is_not_written_over_another_benchmark(call, device, models, tmp_path):
    device()
    call("bench", *models, *QUICK, "--out", "one")
    call("bench", "int8.onnx", *QUICK, "--out", "two")
    before = contents(tmp_path / "two")
    assert call("bench", "--from", "one", "--out", "two").exit_code == 2
    assert contents(tmp_path / "two") == before
    assert call("bench", "--from", "one", "--out", "one").exit_code == 0


def test_events_of_another_plan_are_not_gone_on_with(call, device, models, tmp_path):
    device()
    call("bench", *models, *QUICK, "--out", "one")
    call("bench", "int8.onnx", *QUICK, "--out", "two")
    shutil.copy("two/request.json", "one/request.json")
    before = contents(tmp_path / "one")
    made = device()
    result = call("bench", "--resume", "one")
    assert result.exit_code == 2 and "another plan has measured this than the one in request.json" in result.stderr
    assert contents(tmp_path / "one") == before and not made["this-machine"].asked


def test_a_device_that_brings_home_another_plans_events_has_no_results(models, tmp_path):
    class Wrong(Recorded):
        def run(self, plan, files, on_event, *, folder):
            super().run(example.plan(), files, on_event, folder=folder)

    paths = {f"models/{name}/{name}.onnx": Path(f"{name}.onnx") for name in example.MODELS}
    asked = Request(example.plan(seed=1), paths, [(None, None)], [])
    found = measure(asked, [Wrong("pi")], tmp_path / "out", ignore)
    assert found.benchmarks == [] and "has the events of another plan" in str(found.problems["pi"])


def test_a_model_that_was_changed_is_not_mixed_with_what_it_was(call, device, models, tmp_path):
    device(KeyboardInterrupt(), share=0.5)
    call("bench", *models, *QUICK, "--out", "out")
    before = contents(tmp_path / "out")
    save(tmp_path / "int8.onnx", wide=8)
    result = call("bench", "--resume", "out")
    assert result.exit_code == 2 and "int8.onnx is another file now" in result.stderr
    assert contents(tmp_path / "out") == before


def test_two_at_once_do_not_share_a_folder(call, device, models, tmp_path):
    made = device()
    call("bench", *models, *QUICK, "--out", "out")
    made.clear()
    before = contents(tmp_path / "out")
    with claimed(tmp_path / "out"):
        for asked in (["int8.onnx", *QUICK, "--out", "out"], ["--resume", "out"]):
            result = call("bench", *asked)
            assert (result.exit_code, result.stdout) == (2, "")
            assert "another `compress bench` is measuring into out" in result.stderr
    assert contents(tmp_path / "out") == before and not made


def test_what_has_measured_nothing_leaves_nothing_and_can_be_asked_again(call, device, models, tmp_path):
    device(DeviceError("nobody answers"), share=0.0)
    assert call("bench", *models, *QUICK, "--out", "new/out").exit_code == 1
    assert not (tmp_path / "new").exists()
    device()
    assert call("bench", *models, *QUICK, "--out", "new/out").exit_code == 0


def test_threads_by_the_hundred_on_a_few_cores_are_refused(call, device, models, tmp_path):
    device()  # the example's machine has 4 cores
    result = call("bench", *models, *QUICK, "--threads", "1,1000", "--out", "out")
    assert result.exit_code == 2
    assert "--threads 1000: the machine has 4 cores, and more than 16 threads would only wait" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.integration
def test_a_size_for_an_axis_that_no_model_has_is_refused(call, models, tmp_path):
    result = call("bench", "fp32.onnx", *QUICK, "--axis", "sequenc=8", "--out", "out")
    assert result.exit_code == 2, result.output
    assert "--axis sequenc: no model leaves an axis of that name open; open are batch" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.integration
def test_a_real_measurement_of_real_files(call, models, tmp_path):
    (tmp_path / "damaged.onnx").write_bytes(b"no model")
    save(tmp_path / "wide.onnx", 256)
    result = call(
        "bench", "fp32.onnx", "wide.onnx", "damaged.onnx", "--seconds", "1.5", "--cold", 1, "--no-energy",
        "--model-energy", 4, "--out", "out",
    )  # fmt: skip
    assert result.exit_code == 1, result.stderr  # one was refused
    found = from_json((tmp_path / "out/benchmark.json").read_text())
    assert found.complete
    assert [(r.model, r.what, r.code) for r in found.refused] == [("damaged", "open", "model-file-invalid")]
    fast, slow = found.cells[0].timings
    assert (fast.model, fast.said) == ("fp32", "first") and fast.n >= 18
    assert slow.said == "slower" and slow.ratio_to_first.high < 1
    assert {start.model for start in found.cold} == {"fp32", "wide"}
    assert all(used.peak > 0 for used in found.memory)
    assert {e.measured for e in found.energy} == {False}
    gate = call("diff", "out", "out")
    assert (gate.exit_code, "Nothing is worse" in gate.stdout) == (0, True)


@pytest.fixture
def key(tmp_path):
    """The public half of the key that signs the tests' bundles, as a file."""
    raw = base64.b64encode(KEY.public.raw).decode()
    (tmp_path / "tests.pub").write_text(f"edge-ed25519 {raw} tests\n")
    return tmp_path / "tests.pub"


def test_a_bundle_is_measured_and_its_flash_is_told(call, device, tmp_path, monkeypatch, key):
    monkeypatch.chdir(tmp_path)
    made = device()
    result = call("bench", make_bundle(tmp_path), "--key", key, *QUICK, "--out", "out")
    assert result.exit_code == 0, result.stderr
    (asked,) = made["this-machine"].asked
    assert [(model.name, model.runtime) for model in asked.models] == [("digits-1", "onnxruntime")]
    (path,) = made["this-machine"].files[0].values()
    assert path == Path("out/bundles/0/model/model.onnx")
    (model,) = from_json((tmp_path / "out/benchmark.json").read_text()).models
    assert model.bundle.startswith("digits 1 (") and model.flash > path.stat().st_size
    again = call("bench", "--from", "out", "--json")
    assert json.loads(again.stdout)["models"][0]["flash"] == model.flash


def test_a_bundle_that_nobody_vouches_for_is_an_error_and_leaves_nothing(call, device, tmp_path, monkeypatch, key):
    monkeypatch.chdir(tmp_path)
    made = device()
    result = call("bench", make_bundle(tmp_path, key=OTHER_KEY), "--key", key, *QUICK, "--out", "out")
    assert result.exit_code == 1
    assert "digits-1.edge: signed with key" in result.stderr and "--key KEY.pub" in result.stderr
    result = call("bench", make_bundle(tmp_path), "--key", key, "--scenario", "nonsense", "--out", "out")
    assert result.exit_code == 2
    assert not (tmp_path / "out").exists() and not made
