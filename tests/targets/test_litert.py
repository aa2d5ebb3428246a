"""PyTorch to LiteRT. The converter itself takes a gigabyte: most tests give its output, kept in a file, instead."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from compress import isolated
from compress.errors import ExportError, ToolError
from compress.models.normalize import Normalized
from compress.targets import litert, litert_graph
from edge_runtime import open_session

CONVERTED = Path(__file__).parent / "converted.tflite"
"""What litert-torch 0.10.0 made of `small()`."""

PIXELS = np.random.default_rng(3).integers(0, 256, (5, 1, 12, 12), np.uint8)
LAYERS = ["model.0", "model.2.depthwise", "model.2.pointwise", "model.5"]

pytestmark = pytest.mark.integration
pytest.importorskip("ai_edge_litert", reason="an extra: pip install 'compress[litert]'")


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm = nn.BatchNorm2d(width)
        self.pointwise = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.pointwise(torch.relu(self.norm(self.depthwise(x)))))


def small(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    layers = (nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU(), Block(8), nn.MaxPool2d(2), nn.Flatten())
    model = Normalized(nn.Sequential(*layers, nn.Linear(72, 4)), [0.45], [0.24]).eval()
    for module in model.modules():
        if isinstance(module, Block):  # the file knows this module by a short name
            type(module).__module__ = "test_litert"
    return model


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`tool(program)`: an environment `litert` whose Python does what the text of `program` says."""
    monkeypatch.setenv("COMPRESS_ENVIRONMENTS", str(tmp_path / "environments"))

    def make(program: str) -> None:
        python = isolated.folder("litert") / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(f"#!{sys.executable}\nimport shutil, sys\n{program}\n")
        python.chmod(0o755)

    return make


COPY = f"shutil.copy({str(CONVERTED)!r}, sys.argv[-1])"


def test_the_export_answers_as_pytorch_does_for_any_batch(tool, tmp_path):
    tool(COPY)
    model = small()
    litert.export(model, PIXELS[:1], tmp_path / "model.tflite")
    with open_session(tmp_path / "model.tflite") as session, torch.inference_mode():
        assert [str(spec) for spec in session.inputs] == ["'input': uint8 of shape (?, 1, 12, 12)"]
        assert [str(spec) for spec in session.outputs] == ["'logits': float32 of shape (?, 4)"]
        for count in (1, 5, 2):
            expected = model(torch.from_numpy(PIXELS[:count])).numpy()
            np.testing.assert_allclose(session.predict(PIXELS[:count]), expected, atol=1e-5)


def test_layers_are_called_as_their_modules(tool, tmp_path):
    tool(COPY)
    litert.export(small(), PIXELS[:1], tmp_path / "model.tflite")
    assert [layer.name for layer in litert_graph.layers(tmp_path / "model.tflite")] == LAYERS
    assert b"torch" not in (tmp_path / "model.tflite").read_bytes()


def test_without_the_converter_the_command_that_installs_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPRESS_ENVIRONMENTS", str(tmp_path / "environments"))
    with pytest.raises(ToolError, match="compress doctor --install litert"):
        litert.export(small(), PIXELS[:1], tmp_path / "out" / "model.tflite")
    assert not (tmp_path / "out").exists()


def test_a_file_that_computes_something_else_is_refused_and_not_kept(tool, tmp_path):
    tool(COPY)
    with pytest.raises(ExportError, match="the exported file is not the model"):
        litert.export(small(seed=1), PIXELS[:1], tmp_path / "out" / "model.tflite")
    assert list((tmp_path / "out").iterdir()) == []


def test_what_the_converter_says_is_told_and_nothing_is_kept(tool, tmp_path):
    tool("sys.exit('NotImplementedError: aten.fold')")
    with pytest.raises(ExportError, match=re.escape("cannot be converted to LiteRT: NotImplementedError: aten.fold")):
        litert.export(small(), PIXELS[:1], tmp_path / "out" / "model.tflite")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_forward_that_depends_on_values_is_refused_in_words(tool, tmp_path):
    class Fickle(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.float().mean((1, 2)) if x.sum() > 0 else x.float().amax((1, 2))

    tool(COPY)
    with pytest.raises(ExportError, match=r"Fickle cannot be traced: .*forward\(\) may not depend on values"):
        litert.export(Fickle(), PIXELS[:1], tmp_path / "model.tflite")


def test_constants_behind_the_flatbuffer_are_read_and_written(tmp_path):
    """Where files of some size have them, at an offset that counts from the beginning of the file."""
    model = litert_graph.read(CONVERTED.read_bytes())
    largest = max((buffer for buffer in model.buffers if buffer.data is not None), key=lambda buffer: len(buffer.data))
    content = bytes(largest.data)
    largest.data, largest.offset, largest.size = None, 1 << 20, len(content)
    apart, whole = tmp_path / "apart.tflite", tmp_path / "whole.tflite"
    litert_graph.write(model, apart)
    apart.write_bytes(apart.read_bytes().ljust(1 << 20, b"\0") + content)
    litert_graph.write(litert_graph.read(apart.read_bytes()), whole)
    assert whole.stat().st_size < 1 << 20
    answers = []
    for path in (CONVERTED, apart, whole):
        with open_session(path) as session:
            answers.append(session.predict(PIXELS[:1]))
    np.testing.assert_array_equal(answers[0], answers[1])
    np.testing.assert_array_equal(answers[0], answers[2])


@pytest.mark.slow
@pytest.mark.skipif(not isolated.installed("litert"), reason="needs `compress doctor --install litert`")
def test_the_real_converter(tmp_path):
    litert.export(small(), PIXELS[:1], tmp_path / "model.tflite")
    with open_session(tmp_path / "model.tflite") as session, torch.inference_mode():
        expected = small()(torch.from_numpy(PIXELS)).numpy()
        np.testing.assert_allclose(session.predict(PIXELS), expected, atol=1e-5)
    assert [layer.name for layer in litert_graph.layers(tmp_path / "model.tflite")] == LAYERS
