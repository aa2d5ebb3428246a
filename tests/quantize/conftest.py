"""A small trained network, its exports, and quantized versions of them, made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from compress.data.dataset import Dataset
from compress.models.normalize import Normalized
from compress.models.resnet import resnet
from compress.quantize import quantize
from compress.quantize.job import Job
from compress.recipe import Quantize, Training
from compress.targets import onnx as onnx_export
from compress.targets import openvino as openvino_export
from compress.targets.scheme import scheme
from compress.targets.target import load_target
from compress.training import fit
from edge_runtime import open_session


def _build() -> Normalized:
    torch.manual_seed(0)
    return Normalized(resnet(classes=4, channels=1, stem=8, widths=(16, 32), blocks=(1, 1)), [0.45], [0.24])


@pytest.fixture(scope="session")
def network(small_data: Dataset) -> Callable[[], Normalized]:
    """Makes the trained float network anew."""
    trained = _build()
    fit(trained, small_data.train, small_data.validation, Training(epochs=3, batch=32, lr=0.05))

    def make() -> Normalized:
        model = _build()
        model.load_state_dict(trained.state_dict())
        return model.eval()

    return make


@pytest.fixture(scope="session")
def exported(network: Callable[[], Normalized], small_data: Dataset, tmp_path_factory) -> Path:
    """The trained network as ONNX."""
    path = tmp_path_factory.mktemp("float") / "model.onnx"
    onnx_export.export(network(), small_data.test.inputs[:1], path)
    return path


@pytest.fixture(scope="session")
def converted(exported: Path) -> Path:
    """The trained network as OpenVINO's IR."""
    path = exported.with_suffix(".xml")
    openvino_export.export(exported, path)
    return path


@pytest.fixture(scope="session")
def quantized(exported, converted, small_data, tmp_path_factory) -> Callable[..., Path]:
    """`quantized("x86-avx2", "onnxruntime", calibration=..., weight_bits=...)`: the file, made when first asked for."""
    made: dict[tuple, Path] = {}

    def make(
        target: str,
        runtime: str,
        calibration: str = "minmax",
        samples: int = 64,
        method: str = "static",
        **forced: object,
    ) -> Path:
        key = (target, runtime, calibration, samples, method, *forced.items())
        if key not in made:
            chosen = scheme(load_target(target), runtime, **forced)
            settings = Quantize(method=method, calibration=calibration, samples=samples)
            suffix = ".xml" if runtime == "openvino" else ".onnx"
            made[key] = tmp_path_factory.mktemp("int8") / f"model{suffix}"
            source = converted if runtime == "openvino" else exported
            quantize(Job(runtime, exported, source, made[key], chosen, settings, small_data))
        return made[key]

    return make


@pytest.fixture(scope="session")
def logits(small_data: Dataset) -> Callable[..., np.ndarray]:
    """`logits(path)`: of the test split, from a file."""

    def run(path: Path, optimize: bool = True) -> np.ndarray:
        with open_session(path, optimize=optimize) as session:
            return session.predict(small_data.test.inputs)

    return run


@pytest.fixture(scope="session")
def perceptron(small_data: Dataset, tmp_path_factory) -> Path:
    """A trained network of matrix products only, as ONNX, with its IR beside it."""
    torch.manual_seed(0)
    layers = [nn.Flatten(), nn.Linear(144, 96), nn.ReLU(), nn.Linear(96, 64), nn.ReLU(), nn.Linear(64, 4)]
    model = Normalized(nn.Sequential(*layers), [0.45], [0.24])
    fit(model, small_data.train, small_data.validation, Training(epochs=12, batch=32, lr=0.1))
    path = tmp_path_factory.mktemp("perceptron") / "model.onnx"
    onnx_export.export(model, small_data.test.inputs[:1], path)
    openvino_export.export(path, path.with_suffix(".xml"))
    return path


@pytest.fixture
def job(small_data: Dataset, tmp_path) -> Callable[..., Job]:
    """`job(float_onnx, "openvino", to="fp16", ...)`, with a list of what was said as its `say.__self__`."""

    def make(source: Path, runtime: str, model: Path | None = None, **settings: object) -> Job:
        suffix = ".xml" if runtime == "openvino" else ".onnx"
        return Job(
            runtime=runtime,
            onnx=source,
            model=model or source.with_suffix(suffix),
            out=tmp_path / "out" / f"model{suffix}",
            scheme=scheme(load_target("x86-avx2"), runtime) if runtime in ("onnxruntime", "openvino") else None,
            settings=Quantize(**settings),
            data=small_data,
            say=[].append,
        )

    return make
