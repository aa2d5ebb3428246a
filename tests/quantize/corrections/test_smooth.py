from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import nn

from compress.quantize import static
from compress.quantize.corrections import layerwise
from compress.quantize.corrections.smooth import INSERTED, smooth
from compress.quantize.job import Job
from compress.recipe import Quantize
from compress.targets.onnx import export
from compress.targets.scheme import scheme
from compress.targets.target import load_target
from edge_runtime import open_session

pytestmark = pytest.mark.integration


class Mixer(nn.Module):
    """Layer normalisation whose scale makes outliers in two channels; three products read it, one reads a Gelu."""

    def __init__(self, outliers: float = 60.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm, self.embed = nn.LayerNorm(24), nn.Linear(12, 24)
        self.a, self.b, self.c, self.head = nn.Linear(24, 24), nn.Linear(24, 24), nn.Linear(24, 24), nn.Linear(24, 4)
        with torch.no_grad():
            self.norm.weight[[3, 17]] *= outliers
            for layer in (self.a, self.b, self.c):
                layer.weight[:, [3, 17]] /= outliers

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.embed(x.flatten(1, 2).float() / 128 - 1))
        x = nn.functional.gelu(self.a(x)) + torch.relu(self.b(x)) * self.c(x)
        return self.head(nn.functional.gelu(x)).mean(1)


def exported(path: Path, small_data) -> Path:
    export(Mixer(), small_data.test.inputs[:1], path)
    return path


def answers(path: Path, inputs: np.ndarray) -> np.ndarray:
    with open_session(path) as session:
        return session.predict(inputs)


def test_the_network_computes_the_same_afterwards(small_data, tmp_path):
    source = exported(tmp_path / "float.onnx", small_data)
    model = ir.load(source)
    [told] = smooth(model, small_data.calibration.inputs, 0.5)
    assert told == (
        "SmoothQuant (alpha 0.5): 3 activations smoothed, 1 by the constants that make them, 2 by a Mul of their own"
    )
    assert [node.op_type for node in model.graph if (node.name or "").startswith(INSERTED)] == ["Mul", "Mul"]
    ir.save(model, tmp_path / "smooth.onnx")
    expected, found = (answers(path, small_data.test.inputs) for path in (source, tmp_path / "smooth.onnx"))
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_alpha_divides_the_ranges_between_activations_and_weights(small_data, tmp_path, alpha):
    """With X and W the largest values of a channel before, the paper leaves X^(1-a) W^(1-a) and X^a W^a."""
    reach = []
    for wanted in (None, alpha):
        model = ir.load(exported(tmp_path / "float.onnx", small_data))
        if wanted is not None:
            smooth(model, small_data.calibration.inputs, wanted)
        norm = next(node for node in model.graph if node.op_type == "LayerNormalization").outputs[0]
        [values] = layerwise.Pieces(model, {"input": small_data.calibration.inputs}).compute(norm)
        weights = [np.abs(reader.inputs[1].const_value.numpy()).max(axis=1) for reader in norm.consumers()]
        reach.append((np.abs(values).max(axis=(0, 1)), np.max(weights, axis=0)))
    (x, w), (after_x, after_w) = reach
    np.testing.assert_allclose(after_x, (x * w) ** (1 - alpha), rtol=1e-3)
    np.testing.assert_allclose(after_w, (x * w) ** alpha, rtol=1e-3)


def test_outliers_cost_far_less_with_it(small_data, tmp_path):
    source = exported(tmp_path / "float.onnx", small_data)
    expected = answers(source, small_data.test.inputs)
    chosen = scheme(load_target("x86-avx2"), "onnxruntime")
    errors = []
    for alpha in (None, 0.5):
        out = tmp_path / str(alpha) / "model.onnx"
        settings = Quantize(smooth=alpha, samples=64, bias_correction=False)
        static.quantize(Job("onnxruntime", source, source, out, chosen, settings, small_data))
        errors.append(np.sqrt(np.square(answers(out, small_data.test.inputs) - expected).mean()))
    assert errors[1] < 0.5 * errors[0], errors


def test_the_inserted_mul_stays_in_float(small_data, tmp_path):
    source = exported(tmp_path / "float.onnx", small_data)
    chosen = scheme(load_target("x86-avx2"), "onnxruntime")
    job = Job("onnxruntime", source, source, tmp_path / "m.onnx", chosen, Quantize(smooth=0.5, samples=16), small_data)
    graph, _ = static.qdq_graph(job)
    nodes = [node for node in graph.graph if (node.name or "").startswith(INSERTED) and node.op_type == "Mul"]
    assert len(nodes) == 2
    assert "DequantizeLinear" not in [node.inputs[0].producer().op_type for node in nodes]
