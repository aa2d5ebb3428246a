"""The CUDA provider's session, without a GPU: the real engine lacks the provider, or pretends to have it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from edge_runtime import EngineMissingError, SessionError, open_session

pytestmark = pytest.mark.integration
PIXELS = np.random.default_rng(1).integers(0, 256, (4, 1, 8, 8), np.uint8)
CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


class Pretending:
    """ONNX Runtime with a CUDA provider that computes on the CPU; ``loads``: whether the provider comes up."""

    def __init__(self, loads: bool) -> None:
        self.loads, self.asked, self.preloaded = loads, [], 0

    def __getattr__(self, name):
        return getattr(onnxruntime, name)

    def get_available_providers(self):
        return [CUDA, CPU]

    def preload_dlls(self):
        self.preloaded += 1

    def InferenceSession(self, path, options, providers):
        self.asked = providers
        model = onnxruntime.InferenceSession(path, options, providers=[CPU])
        found = [CUDA, CPU] if self.loads else [CPU]
        return SimpleNamespace(
            run=model.run,
            get_inputs=model.get_inputs,
            get_outputs=model.get_outputs,
            get_providers=lambda: found,
        )


@pytest.fixture
def pretend(monkeypatch):
    def install(loads: bool = True) -> Pretending:
        engine = Pretending(loads)
        monkeypatch.setitem(sys.modules, "onnxruntime", engine)
        return engine

    return install


@pytest.mark.skipif(CUDA in onnxruntime.get_available_providers(), reason="this onnxruntime has a CUDA provider")
def test_an_engine_without_the_provider_comes_with_the_command_that_installs_it(models: Path):
    with pytest.raises(EngineMissingError, match=r"without its CUDA provider: .* install 'onnxruntime-gpu"):
        open_session(models / "pixels.onnx", "onnxruntime-cuda")


def test_a_provider_that_does_not_load_is_not_replaced_by_the_cpu(models: Path, pretend):
    pretend(loads=False)
    with pytest.raises(EngineMissingError, match="could not load its CUDA provider and would run on the CPU"):
        open_session(models / "pixels.onnx", "onnxruntime-cuda")


def test_the_provider_is_offered_operators_first_and_rounds_no_products(models: Path, pretend):
    engine = pretend()
    with open_session(models / "pixels.onnx", "onnxruntime-cuda") as session:
        assert (session.runtime, session.version) == ("onnxruntime-cuda", onnxruntime.__version__)
        answer = session.predict(PIXELS)
    assert engine.asked == [(CUDA, {"use_tf32": "0"}), CPU]
    assert engine.preloaded == 1
    with open_session(models / "pixels.onnx", "onnxruntime") as session:
        np.testing.assert_array_equal(answer, session.predict(PIXELS))


def test_the_suffix_still_chooses_the_cpu(models: Path):
    with open_session(models / "pixels.onnx") as session:
        assert session.runtime == "onnxruntime"


def test_layers_are_not_told(models: Path, pretend):
    pretend()
    with pytest.raises(SessionError, match="onnxruntime-cuda tells no times of layers"):
        open_session(models / "pixels.onnx", "onnxruntime-cuda", profile=True)
