"""Memory of models in fresh processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_runtime import EdgeRuntimeError, ProbeError
from edge_runtime.probes import fresh, memory

pytestmark = pytest.mark.integration
MEGABYTE = 1_000_000


@pytest.mark.parametrize("name", ["pixels.onnx", "pixels.xml"])
def test_memory_grows_from_the_interpreter_to_the_peak(models: Path, name: str):
    found = memory.peak(models / name, None, 1, (1, 1, 8, 8), "uint8")
    assert 10 * MEGABYTE < found.interpreter < found.loaded <= found.peak < 1000 * MEGABYTE


def test_a_model_with_more_weights_takes_that_much_more(models: Path, heavy_model: Path):
    light = memory.peak(models / "pixels.onnx", "onnxruntime", 1, (1, 1, 8, 8), "uint8")
    heavy = memory.peak(heavy_model, "onnxruntime", 1, (1, 1000), "float32")
    assert heavy.peak - light.peak > 38 * MEGABYTE
    assert abs(heavy.interpreter - light.interpreter) < 5 * MEGABYTE


def test_what_this_process_holds_does_not_count(models: Path):
    ballast = np.ones(200 * MEGABYTE, np.uint8)
    found = memory.peak(models / "pixels.onnx", None, 1, (1, 1, 8, 8), "uint8")
    assert ballast.nbytes > found.peak


def test_the_inferences_are_part_of_the_peak(models: Path):
    one = memory.peak(models / "pixels.onnx", None, 1, (1, 1, 8, 8), "uint8")
    many = memory.peak(models / "pixels.onnx", None, 1, (20_000, 1, 8, 8), "uint8")
    assert many.peak - one.peak > 20_000 * 4 * 6 * 6 * 4  # the convolution's output alone


def test_every_input_of_a_model_is_fed(models: Path):
    assert memory.peak(models / "two.onnx", None, 1, (8,), "float32").peak > 0


def test_it_prints_json_from_the_command_line(models: Path):
    command = [sys.executable, "-m", "edge_runtime.probes.memory", str(models / "pixels.onnx")]
    command += ["--runtime", "onnxruntime", "--threads", "2", "--shape", "1,1,8,8", "--dtype", "uint8"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert set(json.loads(printed)) == {"interpreter", "loaded", "peak"}


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "words"),
    [
        ("gone.onnx", (1, 1, 8, 8), "uint8", "gone.onnx: there is no such file"),
        ("pixels.onnx", (1, 8, 8), "uint8", r"got uint8 of shape \(1, 8, 8\)"),
        ("pixels.onnx", (1, 1, 8, 8), "uint9", "no arrays of type 'uint9'"),
    ],
)
def test_a_failure_comes_back_in_the_childs_words(models: Path, name: str, shape: tuple, dtype: str, words: str):
    with pytest.raises(EdgeRuntimeError, match=words):
        memory.peak(models / name, None, 1, shape, dtype)


def test_a_child_that_takes_too_long_is_ended(models: Path):
    with pytest.raises(ProbeError, match=r"took longer than 0\.01 s"):
        memory.peak(models / "pixels.onnx", None, 1, (1, 1, 8, 8), "uint8", seconds=0.01)


def test_a_child_that_is_killed_is_told_from_one_that_fails(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    killed = tmp_path / "python"
    killed.write_text("#!/bin/sh\nkill -9 $$\n")
    killed.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(killed))
    with pytest.raises(ProbeError, match="ended by SIGKILL, most likely for want of memory"):
        memory.peak(models / "pixels.onnx", None, 1, (1, 1, 8, 8), "uint8")


def test_a_run_and_a_benchmark_mean_the_same_by_peak(models: Path, monkeypatch: pytest.MonkeyPatch):
    """Of one measurement both tell one figure: there is one definition, in ``fresh``."""
    seen = []
    measured = fresh.run
    monkeypatch.setattr(fresh, "run", lambda job, **more: seen.append(measured(job, **more)) or seen[-1])
    found = memory.peak(models / "pixels.onnx", None, 1, (1, 1, 8, 8), "uint8")
    (told,) = (one.memory for one in seen)
    assert (found.interpreter, found.loaded, found.peak) == (told["interpreter"], told["loaded"], told["peak"])
