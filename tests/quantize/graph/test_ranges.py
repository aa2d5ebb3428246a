from __future__ import annotations

import tracemalloc

import numpy as np
import onnx
import onnx.reference
import pytest
from onnx import TensorProto, helper

from compress.errors import DataError
from compress.quantize.graph import ranges
from compress.targets.scheme import scheme
from compress.targets.target import load_target

ASYMMETRIC = scheme(load_target("x86-avx2"), "onnxruntime")
SYMMETRIC = scheme(load_target("nvidia-gpu"), "tensorrt")


def relu(kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """input (n, 8) -> Relu -> logits."""
    ends = [helper.make_tensor_value_info(name, kind, ["n", 8]) for name in ("input", "logits")]
    graph = helper.make_graph([helper.make_node("Relu", ["input"], ["logits"], name="relu")], "g", ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def normal(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 8)).astype(np.float32)


@pytest.mark.parametrize("scheme_", [ASYMMETRIC, SYMMETRIC], ids=["asymmetric", "symmetric"])
def test_minmax_is_the_lowest_and_highest_value_of_all_batches(scheme_):
    samples = normal(100)
    found = ranges.collect(relu(), samples, "minmax", scheme_)
    assert found["input"] == (samples.min(), samples.max())
    assert found["logits"] == (0, samples.max())


def test_minmax_of_values_inside_is_what_the_unoptimised_graph_computes():
    """Convolution and activation could be fused, but then the value in between would be lost."""
    random = np.random.default_rng(0)
    weights = random.standard_normal((8, 8, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["input", "w"], ["inner"], pads=[1, 1]),
        helper.make_node("Relu", ["inner"], ["logits"]),
    ]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 8, 5]) for name in ("input", "inner", "logits")
    ]
    graph = helper.make_graph(
        nodes, "g", values[:1], values[2:], [onnx.numpy_helper.from_array(weights, "w")], value_info=values[1:2]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    samples = random.standard_normal((70, 8, 5)).astype(np.float32)
    [inner] = onnx.reference.ReferenceEvaluator(model).run(["inner"], {"input": samples})
    found = ranges.collect(model, samples, "minmax", ASYMMETRIC)
    assert set(found) == {"input", "inner", "logits"}
    np.testing.assert_allclose(found["inner"], (inner.min(), inner.max()), rtol=1e-5)
    np.testing.assert_allclose(found["logits"], (0, inner.max()), rtol=1e-5)


@pytest.mark.parametrize("method", ["entropy", "percentile", "mse"])
@pytest.mark.parametrize("scheme_", [ASYMMETRIC, SYMMETRIC], ids=["asymmetric", "symmetric"])
def test_one_outlier_does_not_set_the_range(method, scheme_):
    samples = normal(40_000)
    samples[1234, 5] = 30
    low, high = ranges.collect(relu(), samples, method, scheme_)["input"]
    assert 3 < high < 21
    assert -21 < low < -3


def test_percentile_leaves_its_share_of_the_values_outside():
    samples = normal(12_500, seed=3)
    low, high = ranges.collect(relu(), samples, "percentile", ASYMMETRIC)["input"]
    outside = ((samples < low) | (samples > high)).mean()
    assert 0.2e-4 < outside < 1.5e-4


def test_mse_finds_the_range_that_brute_force_finds():
    """On a Laplace distribution, where cutting pays; a bit away from the best the error hardly changes."""
    samples = np.random.default_rng(0).laplace(size=(8000, 8)).astype(np.float32)
    _, high = ranges.collect(relu(), samples, "mse", SYMMETRIC)["input"]

    def error(end: float) -> float:
        step = 2 * end / 255
        return float(np.square(np.clip(np.rint(samples / step), -127, 127) * step - samples).mean())

    best = min(error(end) for end in np.linspace(1, np.abs(samples).max(), 200))
    assert error(high) < 1.05 * best
    assert error(high) < 0.85 * error(float(np.abs(samples).max()))


def test_mse_keeps_the_whole_range_of_evenly_spread_values():
    samples = np.random.default_rng(0).uniform(0, 1, (2000, 8)).astype(np.float32)
    low, high = ranges.collect(relu(), samples, "mse", ASYMMETRIC)["logits"]
    assert low == 0
    assert high > 0.98


def test_a_histogram_keeps_its_size_and_its_counts_when_the_range_grows():
    histogram = ranges.merge(None, np.array([1e-6, -1e-6], np.float32))
    histogram = ranges.merge(histogram, np.array([3.0, -2.0, 0.1], np.float32))
    counts, edges, low, high, end = histogram
    assert (len(counts), len(edges), counts.sum()) == (ranges.BINS, ranges.BINS + 1, 5)
    assert (low, high) == (-2, 3)
    assert edges[-1] == end >= 3
    for value in (3.0, -2.0, 0.1):
        assert counts[np.searchsorted(edges, value, side="right") - 1] >= 1


def test_a_batch_of_zeros_first_is_no_trouble():
    samples = np.concatenate([np.zeros((32, 8), np.float32), normal(32)])
    low, high = ranges.collect(relu(), samples, "mse", ASYMMETRIC)["input"]
    assert low < -1
    assert high > 1


@pytest.mark.parametrize("method", ["minmax", "entropy", "percentile", "mse"])
def test_memory_does_not_grow_with_the_number_of_samples(method):
    def peak(count: int) -> int:
        samples = normal(count)
        tracemalloc.start()
        try:
            ranges.collect(relu(), samples, method, ASYMMETRIC)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(64)  # imports and caches
    few, many = peak(320), peak(32_000)
    assert many < few + 100_000  # the samples alone are a million bytes more


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.zeros((0, 8), np.float32), "is empty"),
        (np.zeros((4, 9), np.float32), "are 9, but the model takes 8"),
        (np.zeros((4, 8, 1), np.float32), "are 8 x 1, but the model takes 8"),
        (np.zeros((4, 8), np.float64), "are float64, but the model takes float32"),
        (np.where(np.arange(800).reshape(100, 8) == 561, np.nan, 0).astype(np.float32), "sample 70 holds NaN"),
        (np.where(np.arange(800).reshape(100, 8) == 0, np.inf, 0).astype(np.float32), "sample 0 holds NaN or inf"),
    ],
    ids=["empty", "size", "rank", "dtype", "nan", "inf"],
)
def test_samples_that_the_model_cannot_take_are_refused(samples, words):
    with pytest.raises(DataError, match=words):
        ranges.collect(relu(), samples, "minmax", ASYMMETRIC)
