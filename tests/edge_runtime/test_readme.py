"""The README's examples run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from bundles import KEY, LABELS, make_bundle, tiny_model
from PIL import Image

from edge_runtime import cli
from edge_runtime.probes import latency

README = Path(__file__).parents[2] / "edge-runtime" / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the examples find: a bundle, pictures, its maker's key, a model file; and a home without keys."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGE_RUNTIME_HOME", str(tmp_path / "home"))
    make_bundle(tmp_path, path=tmp_path / "boots.edge")
    for name in ("boot.png", "other.jpg"):
        Image.fromarray(np.full((30, 30, 3), 90, np.uint8)).save(name)
    Path("maker.pub").write_text(KEY.public.line())
    Path("student.onnx").write_bytes(tiny_model())
    return tmp_path


@pytest.mark.integration
def test_the_python_examples_run(capsys, monkeypatch):
    assert cli.main(["trust", "maker.pub"]) == 0
    capsys.readouterr()
    # The example's 20 seconds are the reader's to wait.
    original = latency.interleave
    monkeypatch.setattr(latency, "interleave", lambda runs, **_: original(runs, rounds=2, seconds=0.1))
    names = {
        "pixels": np.zeros((1, 1, 28, 28), np.uint8),
        "run_teacher": lambda: None,
        "run_student": lambda: None,
    }
    for block in BLOCKS:
        exec(compile(block, str(README), "exec"), names)
    assert capsys.readouterr().out.split()[0] in LABELS
    assert names["answer"].label in LABELS and len(names["ratios"]) >= 2


def test_asking_takes_five_lines():
    block = next(block for block in BLOCKS if "open_model" in block)
    assert len([line for line in block.splitlines() if line.strip()]) == 5


def test_the_commands_for_asking_run(capsys):
    shell = next(block for block in re.findall(r"```\n(.*?)```", README.read_text(), re.DOTALL) if "predict" in block)
    for line in shell.strip().splitlines():
        program, *words = line.split()
        assert program == "edge-runtime" and cli.main(words) == 0, capsys.readouterr().err
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()[1:]] == ["boot.png", "other.jpg"]


def test_every_command_that_the_readme_names_is_there():
    named = set(re.findall(r"edge-runtime ([a-z]+) ", README.read_text())) - {"install"}
    assert named <= set(cli.COMMANDS) and {"predict", "serve", "trust", "status"} <= named
