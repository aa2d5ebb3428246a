"""A trained network of which one layer does not survive int8, without being another function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from compress.data.dataset import Split
from compress.models.convnet import convnet
from compress.models.normalize import Normalized
from compress.quantize import quantize
from compress.quantize.job import Job
from compress.recipe import Quantize, Training
from compress.targets import onnx as onnx_export
from compress.targets import openvino as openvino_export
from compress.targets.scheme import scheme
from compress.targets.target import load_target
from compress.training import fit

FACTOR = 4000.0
GIVES, TAKES = "model.features.6", "model.features.9"
"""The layer whose first output outgrows all others, and the one that reads it."""


@pytest.fixture(scope="session")
def fragile_job(small_data, more_pictures, tmp_path_factory) -> Callable[..., Job]:
    """`fragile_job(runtime, to=..., ...)`: 512 validation samples; its `out` is a folder of the session."""
    folder = tmp_path_factory.mktemp("fragile")
    path = folder / "model.onnx"
    torch.manual_seed(0)
    # No way around any layer, as shortcuts are.
    model = Normalized(convnet(classes=4, channels=1, widths=(16, 16, 32, 32)), [0.45], [0.24])
    fit(model, small_data.train, small_data.validation, Training(epochs=6, batch=32, lr=0.05))
    onnx_export.export(model, small_data.test.inputs[:1], path)
    _make_fragile(path)
    openvino_export.export(path, path.with_suffix(".xml"))
    data = replace(small_data, validation=more_pictures)

    def make(runtime: str, **settings: object) -> Job:
        model = path if runtime == "onnxruntime" else path.with_suffix(".xml")
        chosen = scheme(load_target("x86-avx2"), runtime)
        return Job(runtime, path, model, folder / runtime / model.name, chosen, Quantize(samples=64, **settings), data)

    return make


@pytest.fixture(scope="session")
def int8_file(fragile_job) -> Callable[[str], Path]:
    """`int8_file(runtime)`: the fragile network with all layers in int8."""

    def make(runtime: str) -> Path:
        job = fragile_job(runtime)
        if not job.out.exists():
            job.out.parent.mkdir(exist_ok=True)
            quantize(job)
        return job.out

    return make


@pytest.fixture
def swap_classes() -> Callable[[Path, Path], None]:
    """`swap_classes(source, out)`: another function, the last layer's classes in another order."""

    def swap(source: Path, out: Path) -> None:
        model = onnx.load(source)
        head = next(node for node in model.graph.node if "logits" in node.output)
        for tensor in model.graph.initializer:
            if tensor.name in head.input[1:]:
                values = onnx.numpy_helper.to_array(tensor)
                axis = values.shape.index(4)
                tensor.CopyFrom(onnx.numpy_helper.from_array(np.roll(values, 1, axis), tensor.name))
        onnx.save_model(model, out)

    return swap


@pytest.fixture(scope="session")
def more_pictures() -> Split:
    """512 pictures like those of ``small_data``, which it does not hold."""
    rng = np.random.default_rng(77)
    labels = rng.integers(0, 4, 512)
    rows, columns = np.indices((12, 12)) % 2
    patterns = np.stack([rows, columns, rows ^ columns, np.zeros((12, 12), int)])
    inputs = rng.integers(0, 200, (512, 1, 12, 12)) + 36 * patterns[labels][:, None]
    return Split(inputs.astype(np.uint8), labels.astype(np.int64))


def _make_fragile(path: Path) -> None:
    """Multiply one channel between two convolutions, divide its weights in the second: ReLU lets a factor pass. A scale
    for the whole tensor then leaves hardly a bit to the other channels."""
    model = onnx.load(path)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = {node.name: node for node in model.graph.node}

    def scale(name: str, index: tuple, factor: float) -> None:
        values = onnx.numpy_helper.to_array(tensors[name]).copy()
        values[index] *= np.float32(factor)
        tensors[name].CopyFrom(onnx.numpy_helper.from_array(values, name))

    for name in nodes[GIVES].input[1:]:
        scale(name, (0,), FACTOR)
    scale(nodes[TAKES].input[1], (slice(None), 0), 1 / FACTOR)
    onnx.save_model(model, path)
