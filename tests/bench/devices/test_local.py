"""Measuring on this machine, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from compress.bench.devices.base import EVENTS_FILE
from compress.bench.devices.local import Follower, Local, place
from compress.errors import DeviceError
from edge_runtime.probes import events
from edge_runtime.probes.plan import Plan, PlanModel, to_json

pytestmark = pytest.mark.integration
QUICK = {"seconds": 0.2, "precision": 0.0, "cold": 0, "memory": False}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """float32 (batch, 16) -> the same."""
    path = tmp_path_factory.mktemp("model") / "elsewhere.onnx"
    weights = onnx.numpy_helper.from_array(np.eye(16, dtype=np.float32), "w")
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 16]) for name in "xy"]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    graph = helper.make_graph(nodes, "small", tensors[:1], tensors[1:], [weights])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def plan(**values: Any) -> Plan:
    return Plan((PlanModel("small", "models/small.onnx"),), **(QUICK | values))


def run(given: Plan, model: Path, folder: Path, on_event: Any = None) -> list[dict]:
    told: list[dict] = []
    Local().run(given, {"models/small.onnx": model}, on_event or told.append, folder=folder)
    return told


def test_events_come_as_they_are_measured_and_are_kept(model: Path, tmp_path: Path):
    told = run(plan(), model, tmp_path / "run")
    assert told == events.read(tmp_path / "run" / EVENTS_FILE)
    assert (told[0]["event"], told[-1]["event"], told[-1]["complete"]) == ("begin", "end", True)
    assert [event["models"] for event in told if event["event"] == "cell"] == [["small"]]
    assert os.listdir(tmp_path / "run") == [EVENTS_FILE]
    assert model.is_file()


def test_it_runs_in_another_process_than_this_one(model: Path, tmp_path: Path):
    seen = []

    def on_event(event: dict) -> None:
        seen.append((event["event"], time.monotonic()))

    run(plan(seconds=2.0), model, tmp_path, on_event)
    first, last = seen[0][1], seen[-1][1]
    assert last - first > 1.0  # handed on meanwhile, not at the end


def test_the_same_folder_again_goes_on_and_measures_nothing_twice(model: Path, tmp_path: Path):
    whole = run(plan(), model, tmp_path)
    again = run(plan(), model, tmp_path)
    assert again[: len(whole)] == whole
    assert [event for event in again[len(whole) :] if event["event"] in ("start", "round", "cell")] == []


def test_another_plan_does_not_mix_with_what_is_there(model: Path, tmp_path: Path):
    run(plan(), model, tmp_path)
    with pytest.raises(DeviceError, match=r"this-machine: the measurement failed: .*what another plan has measured"):
        run(plan(seconds=0.3), model, tmp_path)


MEASURES = """
import sys
from pathlib import Path
from compress.bench.devices.local import Local
from edge_runtime.probes.plan import parse
plan, model, folder = map(Path, sys.argv[1:])
told = lambda event: print(event["event"], flush=True)
try:
    Local().run(parse(plan.read_text()), {"models/small.onnx": model}, told, folder=folder)
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_ctrl_c_ends_the_measurement_and_closes_its_file(model: Path, tmp_path: Path):
    (tmp_path / "plan.json").write_text(to_json(plan(seconds=60.0)))
    command = [sys.executable, "-c", MEASURES, tmp_path / "plan.json", model, tmp_path / "run"]
    # A process of its own: the signal would end the one that runs the tests.
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert any(line == "round\n" for line in child.stdout)
        child.send_signal(signal.SIGINT)
        assert child.wait(60) == 130
    kept = events.read(tmp_path / "run" / EVENTS_FILE)
    assert (kept[-1]["event"], kept[-1]["complete"]) == ("end", False)
    assert sum(event["event"] == "round" for event in kept) >= 1


def test_a_process_that_is_killed_is_told_and_what_came_before_is_kept(model: Path, tmp_path: Path):
    def on_event(event: dict) -> None:
        if event["event"] == "round" and (children := _children()):
            os.kill(children[0], signal.SIGKILL)

    with pytest.raises(
        DeviceError, match=r"ended by SIGKILL, most likely for want of memory.*events\.jsonl; run it again"
    ):
        run(plan(seconds=60.0), model, tmp_path, on_event)
    assert any(event["event"] == "round" for event in events.read(tmp_path / EVENTS_FILE))


def _children() -> list[int]:
    own = os.getpid()
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == own and fields[0] != "Z":
            found.append(int(status.parent.name))
    return found


def test_a_file_that_is_missing_is_named(tmp_path: Path):
    with pytest.raises(DeviceError, match=r"gone\.onnx: there is no such file"):
        Local().run(plan(), {"models/small.onnx": tmp_path / "gone.onnx"}, print, folder=tmp_path / "run")


def test_a_file_is_copied_where_it_cannot_be_linked(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    place({"sub/copy.onnx": model}, tmp_path)
    assert (tmp_path / "sub" / "copy.onnx").read_bytes() == model.read_bytes()


def test_half_a_line_waits_for_its_other_half(tmp_path: Path):
    path, told = tmp_path / "events.jsonl", []
    follower = Follower(path, told.append)
    follower.read()
    path.write_bytes(b'{"event":"begin"}\n{"eve')
    follower.read()
    assert told == [{"event": "begin"}]
    with path.open("ab") as file:
        file.write(b'nt":"end"}\n')
    follower.read()
    assert told == [{"event": "begin"}, {"event": "end"}]
