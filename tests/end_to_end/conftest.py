"""One small recipe over real parts: a trained convnet, torch-pruning, both runtimes, NNCF, a store on disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import compress
from compress.data.dataset import SPLITS, Dataset

RECIPE = """\
name: small
teacher:
  architecture: convnet
  arguments: {widths: [16, 32]}
  normalize: {mean: [0.4], std: [0.25]}
  train: {epochs: 3, batch: 32, lr: 0.05}
data: {source: npz, path: data.npz}
stages:
  - prune: {ratio: 0.4, round_to: 1, finetune: {epochs: 1, batch: 32}}
  - distill: {training: {epochs: 2, batch: 32, lr: 0.05, views: 1}}
  - quantize: {samples: 64}
targets: [this-machine, raspberry-pi-5]
measure: {rounds: 8, seconds: 2}
budget: {accuracy_drop: 5%}
"""


def write_data(path: Path, data: Dataset) -> None:
    inputs = {f"x_{name}": getattr(data, name).inputs for name in SPLITS}
    labels = {f"y_{name}": getattr(data, name).labels for name in SPLITS}
    np.savez(path, **inputs, **labels, classes=np.array(data.classes))


@pytest.fixture(scope="session")
def project(small_data, tmp_path_factory) -> Path:
    """A folder with ``small.yaml`` and its data."""
    folder = tmp_path_factory.mktemp("project")
    write_data(folder / "data.npz", small_data)
    (folder / "small.yaml").write_text(RECIPE)
    return folder


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> Path:
    """A store that the tests of one process share."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="session")
def finished(project, store) -> compress.RunResult:
    """The recipe, run once."""
    return compress.run(project / "small.yaml", store=store, out=project / "out", threads=1)


@pytest.fixture
def stages_done(project, store) -> Callable[..., list[str]]:
    """Run the recipe with ``overrides`` on the shared store; the labels of the steps that were not taken from it."""

    def run(*overrides: str) -> list[str]:
        seen = []
        out = project / "other"
        compress.run(project / "small.yaml", overrides=overrides, store=store, out=out, emit=seen.append, threads=1)
        return [event.stage for event in seen if event.kind == "done"]

    return run


@pytest.fixture
def start(project) -> Callable[..., subprocess.Popen]:
    """``compress run --json`` of the recipe as a process of its own."""

    def begin(store: Path, out: Path) -> subprocess.Popen:
        command = [sys.executable, "-m", "compress", "run", project / "small.yaml", "--json", "--threads", "1"]
        return subprocess.Popen(
            [*command, "--store", store, "--out", out],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )

    return begin


def kill_at(process: subprocess.Popen, kind: str, sign: int = signal.SIGKILL) -> list[dict]:
    """Read events until a step of ``kind`` starts, end the process there, and return what was read."""
    seen = []
    for line in process.stdout:
        seen.append(json.loads(line))
        label = seen[-1].get("stage", "")
        if seen[-1]["event"] == "start" and kind_of(label) == kind:
            process.send_signal(sign)
            break
    process.wait()
    return seen


def kind_of(label: str) -> str:
    """prune, prune/onnx, evaluate/prune/onnx -> prune, export, evaluate."""
    first, _, rest = label.partition("/")
    return "export" if rest in ("onnx", "openvino") else first
