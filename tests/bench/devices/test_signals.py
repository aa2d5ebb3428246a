"""What SIGTERM, a closed terminal and a kill do to a measurement: results are kept, and no process goes on alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dense_model import dense_model

from compress.bench.devices.signals import Ended, as_ctrl_c, status
from edge_runtime.probes import events

QUICK = ("--seconds", "60", "--precision", "0", "--cold", "0", "--no-memory", "--no-energy")


def test_it_is_like_ctrl_c_with_a_status_of_its_own():
    for number in (signal.SIGTERM, signal.SIGHUP):
        with pytest.raises(KeyboardInterrupt) as caught, as_ctrl_c():
            os.kill(os.getpid(), number)
            time.sleep(5)
        assert status(caught.value) == 128 + number
    assert status(KeyboardInterrupt()) == 130


def test_a_second_one_does_not_end_the_writing_of_results():
    with as_ctrl_c():
        with pytest.raises(Ended):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        for number in (signal.SIGTERM, signal.SIGHUP):
            os.kill(os.getpid(), number)
        time.sleep(0.05)


def test_what_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with as_ctrl_c():
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.05)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen]]:
    """``start("bench", ...)`` beside a model; the process is ended afterwards."""
    dense_model(tmp_path / "dense.onnx")
    started = []

    def begin(*arguments: str, before: tuple[str, ...] = (), **streams: object) -> subprocess.Popen:
        command = [*before, sys.executable, "-m", "compress", *arguments]
        started.append(subprocess.Popen(command, cwd=tmp_path, start_new_session=True, **streams))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()


def until(ready: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.05)


def measuring(parent: int) -> list[int]:
    """The processes that ``parent`` has started and that run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent and fields[0] not in "ZX":
            found.append(int(path.parent.name))
    return found


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def rounds(folder: Path) -> bool:
    path = folder / "out" / "events.jsonl"
    return path.exists() and path.read_bytes().count(b'"event":"round"') > 3


@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_benchmark_that_is_ended_shows_and_keeps_what_it_has(start, tmp_path: Path, number: int):
    process = start("bench", "dense.onnx", *QUICK, "--out", "out", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    until(lambda: rounds(tmp_path))
    (child,) = measuring(process.pid)
    process.send_signal(number)
    shown, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert shown.startswith(b"this-machine (partial)")
    assert (tmp_path / "out/table.md").is_file() and not runs(child)
    assert events.read(tmp_path / "out/events.jsonl")[-1]["why"] == "it was interrupted"


@pytest.mark.integration
def test_when_its_terminal_closes_the_results_are_written(start, tmp_path: Path):
    controlling = (
        "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    )
    ours, its = os.openpty()
    process = start(
        "bench", "dense.onnx", *QUICK, "--out", "out", before=(sys.executable, "-c", controlling),
        stdin=its, stdout=its, stderr=its,
    )  # fmt: skip
    os.close(its)
    until(lambda: rounds(tmp_path))
    os.close(ours)
    assert process.wait(60) == 128 + signal.SIGHUP
    assert (tmp_path / "out/table.md").is_file() and (tmp_path / "out/report.html").is_file()


@pytest.mark.integration
def test_when_it_is_killed_nothing_goes_on_measuring(start, tmp_path: Path):
    process = start("bench", "dense.onnx", *QUICK, "--out", "out", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: rounds(tmp_path))
    (child,) = measuring(process.pid)
    process.kill()
    until(lambda: not runs(child), seconds=20)
    assert events.read(tmp_path / "out/events.jsonl")[-1]["complete"] is False


@pytest.mark.integration
def test_a_profile_that_is_ended_leaves_no_process(start):
    process = start("profile", "dense.onnx", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stderr.readline()
    until(lambda: measuring(process.pid))
    (child,) = measuring(process.pid)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM and not runs(child)
