from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from compress.cli import main

RECIPE = """\
name: quick
teacher: {architecture: resnet, checkpoint: t.safetensors}
data: {source: npz, path: data.npz}
stages:
  - prune: {ratio: 0.5}
  - quantize
targets: [{name: this-machine, runtimes: [onnxruntime]}]
"""


@pytest.fixture
def recipe(tmp_path, monkeypatch) -> Path:
    """A recipe whose files exist; its folder is the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.safetensors").write_bytes(b"weights")
    (tmp_path / "data.npz").write_bytes(b"arrays")
    path = tmp_path / "quick.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture
def call() -> Callable[..., Result]:
    """``call("run", ...)``; anything but an exit is raised."""

    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(main, [str(a) for a in arguments], prog_name="compress", catch_exceptions=False)

    return invoke
