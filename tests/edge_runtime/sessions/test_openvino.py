"""What is particular to OpenVINO's session."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import openvino
import pytest

from edge_runtime import SessionError, open_session
from edge_runtime.probes.latency import interleave

pytestmark = pytest.mark.integration
PIXELS = np.random.default_rng(1).integers(0, 256, (64, 1, 8, 8), np.uint8)


def test_a_float_model_is_computed_in_float32_with_the_threads_asked_for(models: Path, monkeypatch: pytest.MonkeyPatch):
    compiled = []
    compile_model = openvino.Core.compile_model

    def spy(*arguments, **settings):
        compiled.append(compile_model(*arguments, **settings))
        return compiled[-1]

    monkeypatch.setattr(openvino.Core, "compile_model", spy)
    open_session(models / "pixels.xml", threads=2).close()
    settings = {name: compiled[0].get_property(name) for name in compiled[0].get_property("SUPPORTED_PROPERTIES")}
    assert settings["INFERENCE_PRECISION_HINT"] == openvino.Type.f32
    assert settings["INFERENCE_NUM_THREADS"] == 2
    assert settings["NUM_STREAMS"] == 1
    assert settings["PERFORMANCE_HINT"] == "LATENCY"


def test_a_graph_cannot_be_run_without_optimisation(models: Path):
    with pytest.raises(SessionError, match="cannot run a graph without optimising it; use onnxruntime"):
        open_session(models / "pixels.xml", optimize=False)


def test_a_session_adds_less_than_three_percent_to_the_engine(models: Path):
    settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    raw = openvino.Core().compile_model(models / "pixels.xml", "CPU", settings)
    with open_session(models / "pixels.xml") as session:
        runs = {"raw": lambda: raw(PIXELS)[0], "session": lambda: session.predict(PIXELS)}
        samples = [interleave(runs, rounds=15, seconds=5, block_seconds=0.005, seed=seed) for seed in range(3)]
    assert min(float(np.median(s.block_medians("session") / s.block_medians("raw"))) for s in samples) <= 1.03


OPENED_AND_CLOSED = """
import signal
import sys
import threading
from edge_runtime import open_session
heard = []
signal.signal(signal.SIGTERM, lambda *_: heard.append("SIGTERM"))
sessions = [open_session(sys.argv[1]) for _ in range(2)]
{close}
signal.raise_signal(signal.SIGTERM)
print(heard)
"""
CLOSE = "sessions.pop({}).close()"
ELSEWHERE = "thread = threading.Thread(target=lambda: {}); thread.start(); thread.join()"


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("where", ["{}", ELSEWHERE], ids=["here", "on another thread"])
def test_signals_are_heard_whenever_and_wherever_sessions_are_closed(models: Path, where: str, first: int):
    close = "\n".join(where.format(CLOSE.format(index)) for index in (first, 0))
    ended = subprocess.run(
        [sys.executable, "-c", OPENED_AND_CLOSED.format(close=close), models / "pixels.xml"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout) == (0, "['SIGTERM']\n"), ended.stderr
