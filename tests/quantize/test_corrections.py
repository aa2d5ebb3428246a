"""Learned rounding and bias correction, which share the walk through both graphs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import nn

from compress.models.normalize import Normalized
from compress.quantize import quantize
from compress.quantize.checks.coverage import int8_coverage
from compress.quantize.corrections import bias, layerwise, rounding
from compress.quantize.graph import onnxruntime, qdq, ranges
from compress.targets.onnx import export
from compress.targets.scheme import scheme
from compress.targets.target import load_target
from edge_runtime import open_session

pytestmark = pytest.mark.integration
SCHEME = scheme(load_target("x86-avx2"), "onnxruntime")


class Graphs:
    """A float file, and fresh quantized graphs of it."""

    def __init__(self, source: Path, samples: np.ndarray, folder: Path, chosen=SCHEME) -> None:
        self.source, self.samples, self.folder, self.scheme = source, samples, folder, chosen
        self.prepared = onnxruntime.prepare(source)
        self.ranges = ranges.collect(self.prepared, samples, "minmax", chosen)
        self.original = ir.from_proto(self.prepared)

    def quantized(self) -> ir.Model:
        return onnxruntime.build(self.prepared, self.ranges, self.scheme)

    def error(self, model: ir.Model, inputs: np.ndarray) -> float:
        """Of the logits, relative to their spread."""
        file = self.folder / "model.onnx"
        onnxruntime.finish(model, file)
        with open_session(self.source) as one, open_session(file, optimize=False) as two:
            expected, found = one.predict(inputs), two.predict(inputs)
        return float(np.sqrt(np.square(found - expected).mean()) / expected.std())


@pytest.fixture
def graphs(exported, small_data, tmp_path) -> Graphs:
    return Graphs(exported, small_data.calibration.inputs, tmp_path)


def coarse(model: ir.Model) -> None:
    """Weights with 16 levels left, where rounding errs by much: mean errors as in networks of few bits."""
    for layer in qdq.layers(model):
        layer.store_weights(np.clip(np.round(layer.integers / 8) * 8, -64, 64))


def test_bias_correction_takes_the_mean_error_out_of_every_layer(graphs):
    model = graphs.quantized()
    coarse(model)
    bias.correct(model, graphs.original, graphs.samples)
    for step in layerwise.walk(model, graphs.original, layerwise.few(graphs.samples, graphs.original)):
        left = bias.mean_error(layerwise.outputs(model, step.layer, step.incoming), step)
        assert np.abs(left).max() < 0.01 * step.target.std(), step.layer.name


def test_bias_correction_brings_coarse_weights_closer_to_the_float_network(graphs, small_data):
    errors = []
    for corrected in (False, True):
        model = graphs.quantized()
        coarse(model)
        if corrected:
            [told] = bias.correct(model, graphs.original, graphs.samples)
            assert told == "bias correction: the mean error of 8 layers, over 64 samples, went into their biases"
        errors.append(graphs.error(model, small_data.test.inputs))
    assert errors[1] < 0.85 * errors[0], errors


def test_bias_correction_keeps_biases_in_int32_or_in_float_as_the_scheme_wants(exported, small_data, tmp_path):
    chosen = scheme(load_target("nvidia-gpu"), "tensorrt")
    made = Graphs(exported, small_data.calibration.inputs, tmp_path, chosen)
    model = made.quantized()
    before = [qdq.stored(layer.bias) for layer in qdq.layers(model)]
    bias.correct(model, made.original, made.samples)
    after = [qdq.stored(layer.bias) for layer in qdq.layers(model)]
    assert {array.dtype.name for array in after} == {"float32"}
    assert all((one != two).any() for one, two in zip(before, after, strict=True))


def test_learned_rounding_moves_weights_by_one_step_at_most_and_keeps_their_scales(graphs):
    before, after = graphs.quantized(), graphs.quantized()
    [told] = rounding.learn(after, graphs.original, graphs.samples, SCHEME)
    assert told.startswith("learned rounding: the squared error of 8 layers' outputs fell to ")
    moved = 0
    for one, two in zip(qdq.layers(before), qdq.layers(after), strict=True):
        np.testing.assert_array_equal(one.scale, two.scale)
        difference = np.abs(one.integers.astype(int) - two.integers)
        assert difference.max() <= 1
        assert np.abs(two.integers.astype(int)).max() <= 64
        moved += int(difference.sum())
    assert moved > 100


def test_learned_rounding_lowers_the_error_of_the_logits(graphs, small_data):
    nearest, learned = graphs.quantized(), graphs.quantized()
    rounding.learn(learned, graphs.original, graphs.samples, SCHEME)
    inputs = small_data.test.inputs  # not the samples it learned on
    assert graphs.error(learned, inputs) < 0.9 * graphs.error(nearest, inputs)
    assert int8_coverage(graphs.folder / "model.onnx").complete


def test_both_corrections_report_layer_by_layer(graphs):
    model, seen = graphs.quantized(), []
    rounding.learn(model, graphs.original, graphs.samples[:8], SCHEME, lambda *done: seen.append(done))
    bias.correct(model, graphs.original, graphs.samples[:8], lambda *done: seen.append(done))
    assert seen == 2 * [(done, 8) for done in range(1, 9)]


def test_a_recipe_with_corrections_reports_their_progress(job, exported):
    seen = []
    task = job(exported, "onnxruntime", samples=8, rounding="learned")
    quantize(replace(task, on_batch=lambda *done: seen.append(done)))
    assert seen.count((8, 8)) == 2


def test_many_layers_without_a_bias_are_told_by_the_first_six(graphs):
    model = graphs.quantized()
    for layer in qdq.layers(model):
        layer.node.replace_input_with(2, None)
    told = bias.correct(model, graphs.original, graphs.samples[:8])[1]
    assert told.count(", ") == 5
    assert told.endswith(" and 2 more: no bias of their own")


def test_learned_rounding_is_deterministic(graphs):
    twins = [graphs.quantized(), graphs.quantized()]
    for model in twins:
        rounding.learn(model, graphs.original, graphs.samples[:16], SCHEME)
    for one, two in zip(*map(qdq.layers, twins), strict=True):
        np.testing.assert_array_equal(one.integers, two.integers)


class Kinds(nn.Module):
    """Strided, dilated, depthwise, grouped, one-dimensional and transposed convolutions."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.two = nn.Sequential(
            *(nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8)),
            *(nn.ReLU(), nn.Conv2d(8, 12, 3, groups=2), nn.ReLU6(), nn.ConvTranspose2d(12, 6, 2), nn.ReLU()),
        )
        self.one = nn.Sequential(nn.Conv1d(6, 8, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.one(self.two(x).flatten(2)).mean(2))


def test_all_kinds_of_layers_are_rounded_or_told(small_data, tmp_path):
    export(Normalized(Kinds(), [0.4], [0.25]), small_data.test.inputs[:1], tmp_path / "float.onnx")
    graphs = Graphs(tmp_path / "float.onnx", small_data.calibration.inputs, tmp_path)
    nearest, learned = graphs.quantized(), graphs.quantized()
    told = rounding.learn(learned, graphs.original, graphs.samples, SCHEME)
    assert told[0].startswith("learned rounding: the squared error of 5 layers'")
    assert len(told) == 2 and told[1].startswith("learned rounding left out ")
    assert graphs.error(learned, small_data.test.inputs) < graphs.error(nearest, small_data.test.inputs)
    corrected = graphs.quantized()
    assert "6 layers" in bias.correct(corrected, graphs.original, graphs.samples)[0]


def test_a_walk_gives_what_the_whole_graphs_compute(graphs):
    """Piece by piece, the last layer sees the same as in one run."""
    model, samples = graphs.quantized(), graphs.samples[:8]
    *_, last = layerwise.walk(model, graphs.original, samples)
    assert last.layer.node.op_type == "Gemm"
    with open_session(graphs.source) as session:
        np.testing.assert_allclose(last.target, session.predict(samples), atol=1e-4)
    found = layerwise.outputs(model, last.layer, last.incoming)
    onnxruntime.finish(model, graphs.folder / "model.onnx")
    with open_session(graphs.folder / "model.onnx", optimize=False) as session:
        np.testing.assert_allclose(found, session.predict(samples), atol=1e-4)


def test_few_samples_are_spread_over_all_and_bounded(graphs):
    samples = np.arange(1000).reshape(-1, 1)
    chosen = layerwise.few(samples, graphs.original)[:, 0]
    assert (len(chosen), chosen[0], chosen[-1]) == (layerwise.SAMPLES, 0, 999)
    assert len(layerwise.few(samples[:5], graphs.original)) == 5
