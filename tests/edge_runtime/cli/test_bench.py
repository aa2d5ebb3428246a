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
        (None, "error[probe-failed]: plan.json: there is no such file; give a plan"),
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


def test_a_place_that_is_none_is_told(folder: Path):
    write(folder)
    command = [*COMMAND[:-1], "nowhere/events.jsonl"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "[Errno" in done.stderr) == (1, False)
    assert "nowhere/events.jsonl cannot be written: No such file or directory; give another place" in done.stderr


def test_only_one_at_a_time_writes_to_a_file(folder: Path):
    write(folder, seconds=60.0)
    child = begun(folder)
    second = bench(folder, "--resume")
    assert second.returncode == 1
    assert "events.jsonl: another process measures into it" in second.stderr
    child.terminate()
    child.communicate(timeout=20)
    found = events.read(folder / "events.jsonl")
    assert [event["event"] for event in found].count("begin") == 1


def test_attached_it_ends_with_whoever_started_it(folder: Path):
    write(folder, seconds=60.0)
    starter = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(120)"
    )
    with subprocess.Popen([sys.executable, "-c", starter, *COMMAND, "--attached"], cwd=folder, stdout=-1) as parent:
        pid = int(parent.stdout.readline())
        wait(lambda: b'"round"' in text(folder))
        parent.kill()
        wait(lambda: not _runs(pid))
    last = events.read(folder / "events.jsonl")[-1]
    assert (last["event"], last["complete"], last["why"]) == ("end", False, "it was interrupted")


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_under_nohup_a_closed_terminal_does_not_end_it(folder: Path):
    write(folder, seconds=1.0)
    child = subprocess.Popen(["nohup", *COMMAND], cwd=folder, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    wait(lambda: b'"round"' in text(folder))
    child.send_signal(signal.SIGHUP)
    assert child.wait(30) == 0


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
