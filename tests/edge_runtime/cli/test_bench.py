"""``edge-runtime bench`` as a process: interrupted, killed, gone on with."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_runtime.probes import events
from edge_runtime.probes.plan import Plan, PlanModel, to_json

pytestmark = pytest.mark.integration
COMMAND = [sys.executable, "-m", "edge_runtime", "bench", "plan.json", "-o", "events.jsonl"]


@pytest.fixture
def folder(models: Path, tmp_path: Path) -> Path:
    shutil.copy(models / "pixels.onnx", tmp_path)
    return tmp_path


def write(folder: Path, **values: object) -> None:
    quick = {"precision": 0.0, "cold": 0, "memory": False}
    plan = Plan((PlanModel("one", "pixels.onnx"),), **(quick | values))
    (folder / "plan.json").write_text(to_json(plan))


def bench(folder: Path, *more: str) -> subprocess.CompletedProcess:
    return subprocess.run([*COMMAND, *more], cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def begun(folder: Path) -> subprocess.Popen:
    """A process that has measured its first rounds."""
    child = subprocess.Popen(COMMAND, cwd=folder, stderr=subprocess.PIPE, text=True)
    wait(lambda: b'"round"' in text(folder))
    return child


def text(folder: Path) -> bytes:
    path = folder / "events.jsonl"
    return path.read_bytes() if path.exists() else b""


def wait(ready: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_plan_is_measured_and_its_events_written(folder: Path):
    write(folder, seconds=0.2)
    done = bench(folder)
    assert (done.returncode, done.stderr) == (0, "")
    told = events.read(folder / "events.jsonl")
    assert (told[0]["event"], told[-1]["event"], told[-1]["complete"]) == ("begin", "end", True)
    assert events.finished(told) == {"model/one", "single-stream/t1/b1"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_closes_the_file(folder: Path, number: signal.Signals):
    write(folder, seconds=60.0)
    child = begun(folder)
    child.send_signal(number)
    _, words = child.communicate(timeout=20)
    assert child.returncode == 130
    assert "interrupted; what was measured is in events.jsonl" in words
    last = events.read(folder / "events.jsonl")[-1]
    assert (last["event"], last["complete"], last["why"]) == ("end", False, "it was interrupted")


def test_after_a_kill_whole_lines_are_there_and_it_goes_on(folder: Path):
    write(folder, seconds=1.0, scenarios=("single-stream", "batch"), batches=(2,))
    child = begun(folder)
    wait(lambda: b'"cell":"batch' in text(folder))
    child.kill()
    child.communicate()
    killed = events.read(folder / "events.jsonl")
    assert events.finished(killed) == {"model/one", "single-stream/t1/b1"}
    with (folder / "events.jsonl").open("ab") as file:
        file.write(b'{"event":"round","cel')  # as a power failure leaves it
    assert bench(folder, "--resume").returncode == 0
    told = events.read(folder / "events.jsonl")
    assert told[: len(killed)] == killed
    assert [event["what"] for event in told[len(killed) :] if event["event"] == "start"] == ["batch/t1/b2"]
    cells = [event["cell"] for event in events.current(told) if event["event"] == "cell"]
    assert cells == ["single-stream/t1/b1", "batch/t1/b2"]
    rounds = [
        event["round"] for event in events.current(told) if event.get("cell") == "batch/t1/b2" and "round" in event
    ]
    assert rounds == list(range(len(rounds)))


def test_a_file_that_is_there_is_not_written_over(folder: Path):
    write(folder)
    (folder / "events.jsonl").write_text("mine\n")
    done = bench(folder)
    assert done.returncode == 1
    assert "events.jsonl is there already: --resume goes on with it" in done.stderr
    assert text(folder) == b"mine\n"


def test_another_plans_file_is_not_gone_on_with(folder: Path):
    write(folder, seconds=0.2)
    assert bench(folder).returncode == 0
    write(folder, seconds=0.3)
    done = bench(folder, "--resume")
    assert done.returncode == 1
    assert "events.jsonl holds what another plan has measured" in done.stderr


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (b'{"schema": "edge-runtime.bench/1", "models": [], "x": 1}', "error[probe-failed]: key 'x' of the plan"),
        (b"\xff", "plan.json is no plan"),
        (None, "error[os-error]"),
    ],
)
def test_a_plan_that_is_wrong_is_told_without_a_traceback(folder: Path, plan: bytes | None, words: str):
    if plan is not None:
        (folder / "plan.json").write_bytes(plan)
    done = bench(folder)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "events.jsonl").exists()


def test_a_full_disk_is_told(folder: Path):
    """A limit on the size of files stands in for it."""
    write(folder, seconds=5.0)
    limited = ["bash", "-c", 'ulimit -f 8; exec "$@"', "bash", *COMMAND]
    done = subprocess.run(limited, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "events.jsonl cannot be written: File too large; make room, and go on with --resume" in done.stderr
    assert len(events.read(folder / "events.jsonl")) > 3


def test_something_else_than_a_file_is_not_written_to(folder: Path):
    write(folder)
    (folder / "events.jsonl").mkdir()
    done = bench(folder, "--resume")
    assert done.returncode == 1
    assert "events.jsonl is not a file" in done.stderr


def test_progress_is_told_meanwhile(folder: Path):
    write(folder, seconds=0.5)
    assert bench(folder).returncode == 0
    lines = [json.loads(line) for line in text(folder).splitlines()]
    progress = [event for event in lines if event["event"] == "progress"]
    assert {"opening one", "single-stream/t1/b1"} <= {event["what"] for event in progress}
    assert all(0 <= event["done"] <= event["of"] for event in progress)
