"""``Ssh`` against a whole emulated arm64 computer: real aarch64 Python, numpy and engines, and a real loss of power.

Its milliseconds mean nothing, and are marked so. Slow: a minute to build once, some minutes each time.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import zipfile
from pathlib import Path

import arm64
import pytest
from dense_model import dense_model

from compress.bench.devices.ssh import Ssh
from compress.errors import KilledError
from compress.targets.target import load_target
from edge_runtime.probes.plan import Plan, PlanModel

pytestmark = [pytest.mark.integration, pytest.mark.slow]
LITERT_MODEL = Path(__file__).parents[1] / "targets" / "converted.tflite"


@pytest.fixture(scope="module")
def image() -> Path:
    if tools := arm64.missing_tools():
        pytest.skip(f"needs {', '.join(tools)}")
    arm64.build(arm64.folder())
    return arm64.folder()


@pytest.fixture
def home(image: Path, tmp_path: Path) -> Path:
    """The disk of a board that has just been set up."""
    return Path(shutil.copy(image / "home.img", tmp_path / "home.img"))


def board(port: int, options: Path, said: list[str], **settings: object) -> Ssh:
    return Ssh(
        "raspberry-pi-5", "ssh://edge", target=load_target("raspberry-pi-5"), options=("-F", str(options)),
        say=said.append, **settings,
    )  # fmt: skip


def plan_of(*paths: str, cold: int = 1) -> Plan:
    models = tuple(PlanModel(Path(path).suffix[1:], path) for path in paths)
    return Plan(models, seconds=4.0, precision=0.5, cold=cold)


def test_real_engines_measure_on_an_emulated_board(image: Path, home: Path, tmp_path: Path):
    files = {"dense.onnx": dense_model(tmp_path / "dense.onnx"), "converted.tflite": LITERT_MODEL}
    said: list[str] = []
    with arm64.booted(image, home) as (port, options):
        board(port, options, said).run(plan_of(*files), files, lambda event: None, folder=tmp_path / "kept")
    events = [json.loads(line) for line in (tmp_path / "kept/events.jsonl").read_text().splitlines()]
    begin = events[0]
    assert begin["machine"]["arch"] == "aarch64" and begin["emulated"] is True
    models = {event["model"]: event for event in events if event["event"] == "model"}
    assert models["onnx"]["runtime"] == "onnxruntime" and models["tflite"]["runtime"] == "litert"
    assert [event for event in events if event["event"] == "refused"] == []
    (cell,) = [event for event in events if event["event"] == "cell"]
    assert cell["models"] == ["onnx", "tflite"]
    assert events[-1]["event"] == "end" and events[-1]["complete"] is True
    assert any("not figures of Raspberry Pi 5" in line for line in said)


def test_a_loss_of_power_in_the_middle(image: Path, home: Path, tmp_path: Path):
    """The plug is pulled while it measures and put in again; what was done is not measured again."""
    files = {"dense.onnx": dense_model(tmp_path / "dense.onnx")}
    said: list[str] = []
    machine = contextlib.ExitStack()
    port, options = machine.enter_context(arm64.booted(image, home))

    def on_event(event: dict) -> None:
        if event["event"] == "done" and event["what"] == "memory/onnx" and not failures:
            failures.append(event)
            machine.close()
            machine.enter_context(arm64.booted(image, home, port=port))

    failures: list[dict] = []
    with machine:
        board(port, options, said).run(plan_of(*files), files, on_event, folder=tmp_path / "kept")
    events = [json.loads(line) for line in (tmp_path / "kept/events.jsonl").read_text().splitlines()]
    assert failures and any("started again" in line for line in said)
    assert [event["resumed"] for event in events if event["event"] == "begin"] == [False, True]
    done = [event["what"] for event in events if event["event"] == "done"]
    assert sorted(done) == sorted(set(done)) and "memory/onnx" in done and "single-stream/t1/b1" in done
    assert events[-1]["complete"] is True


def test_the_kernel_ends_it_for_want_of_memory(image: Path, home: Path, tmp_path: Path):
    greedy = tmp_path / "edge_runtime-0.0.1-py3-none-any.whl"
    with zipfile.ZipFile(greedy, "w") as archive:
        archive.writestr("edge_runtime/__init__.py", "")
        archive.writestr("edge_runtime/__main__.py", "held = [b'x' * (1 << 28) for _ in range(16)]\n")
    files = {"dense.onnx": dense_model(tmp_path / "dense.onnx")}
    with arm64.booted(image, home) as (port, options):
        greedy_board = board(port, options, [], wheels=lambda *_: [greedy])
        with pytest.raises(KilledError, match="want of memory"):
            greedy_board.run(plan_of(*files), files, lambda event: None, folder=tmp_path / "kept")
