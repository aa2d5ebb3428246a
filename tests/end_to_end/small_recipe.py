"""The small recipe of the end-to-end tests, its data, and how to kill a run of it."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import numpy as np

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
