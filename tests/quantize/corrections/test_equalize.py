from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import nn

from compress.models.normalize import Normalized
from compress.quantize import static
from compress.quantize.corrections.equalize import equalize
from compress.quantize.job import Job
from compress.recipe import Quantize
from compress.targets import openvino
from compress.targets.onnx import export
from compress.targets.scheme import scheme
from compress.targets.target import load_target
from edge_runtime import open_session

pytestmark = pytest.mark.integration


class Chain(nn.Module):
    """Every kind of link: a plain convolution, a depthwise one, a grouped one, a matrix product."""

    def __init__(self, activation: type[nn.Module] = nn.ReLU, spread: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            *(nn.Conv2d(1, 8, 3, padding=1), activation()),
            *(nn.Conv2d(8, 8, 3, padding=1, groups=8), activation()),
            *(nn.Conv2d(8, 16, 1, groups=2), nn.PReLU(16), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 12, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 4)),
        )
        with torch.no_grad():
            for first, second in ((0, 2), (2, 4)):
                scale = torch.exp(spread * torch.randn(8))
                one, two = self.layers[first], self.layers[second]
                one.weight *= scale[:, None, None, None]
                one.bias *= scale
                inward = scale.reshape(-1, two.weight.shape[1])  # (groups, inputs of a group)
                two.weight /= inward.repeat_interleave(two.out_channels // two.groups, 0)[:, :, None, None]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def exported(model: nn.Module, path: Path, small_data) -> Path:
    export(Normalized(model, [0.4], [0.25]), small_data.test.inputs[:1], path)
    return path


def answers(path: Path, inputs: np.ndarray) -> np.ndarray:
    with open_session(path) as session:
        return session.predict(inputs)


def test_the_network_computes_the_same_afterwards(small_data, tmp_path):
    source = exported(Chain(spread=1.5), tmp_path / "float.onnx", small_data)
    model = ir.load(source)
    before = {value.name: value.const_value.numpy().copy() for value in model.graph.initializers.values()}
    [told] = equalize(model)
    assert told.startswith("equalization: 3 pairs of layers")
    changed = [
        name for name, value in model.graph.initializers.items() if (value.const_value.numpy() != before[name]).any()
    ]
    assert len(changed) >= 6
    ir.save(model, tmp_path / "equal.onnx")
    expected, found = (answers(path, small_data.test.inputs) for path in (source, tmp_path / "equal.onnx"))
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_both_sides_of_a_pair_get_the_same_range(small_data, tmp_path):
    torch.manual_seed(0)
    pair = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 10), nn.Flatten())
    model = ir.load(exported(pair, tmp_path / "float.onnx", small_data))
    equalize(model)
    first, second = (node.inputs[1].const_value.numpy() for node in model.graph if node.op_type == "Conv")
    np.testing.assert_allclose(np.abs(first).max((1, 2, 3)), np.abs(second).max((0, 2, 3)), rtol=0.02)


def test_a_clip_at_six_is_not_passed_and_that_is_told(small_data, tmp_path):
    model = ir.load(exported(Chain(nn.ReLU6), tmp_path / "float.onnx", small_data))
    told = equalize(model)
    assert told[0].startswith("equalization: 1 pairs")  # the one behind PReLU
    assert "left out 2 layers before a Clip" in told[1]


def test_a_value_read_twice_is_not_touched(small_data, tmp_path):
    class Twice(Chain):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.layers[1](self.layers[0](x))
            return self.layers[5:](self.layers[4](self.layers[2](x) + x))

    source = exported(Twice(), tmp_path / "float.onnx", small_data)
    model = ir.load(source)
    [told] = equalize(model)
    assert "1 pairs" in told
    ir.save(model, tmp_path / "equal.onnx")
    expected, found = (answers(path, small_data.test.inputs) for path in (source, tmp_path / "equal.onnx"))
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(("runtime", "left"), [("onnxruntime", 0.5), ("openvino", 0.9)])
def test_badly_scaled_channels_lose_far_less_with_it(small_data, tmp_path, runtime, left):
    """Less so with NNCF, which aligns the channels of neighbouring convolutions by itself."""
    source = exported(Chain(spread=1.5), tmp_path / "float.onnx", small_data)
    expected = answers(source, small_data.test.inputs)
    errors = []
    for wanted in (False, True):
        out = tmp_path / str(wanted) / ("model.xml" if runtime == "openvino" else "model.onnx")
        settings = Quantize(equalize=wanted, samples=64)
        model = source
        if runtime == "openvino":
            model = source.with_suffix(".xml")
            openvino.export(source, model)
        chosen = scheme(load_target("x86-avx2"), runtime)
        static.quantize(Job(runtime, source, model, out, chosen, settings, small_data))
        difference = answers(out, small_data.test.inputs) - expected
        errors.append(np.sqrt(np.square(difference).mean()) / expected.std())
    assert errors[1] < left * errors[0], errors
