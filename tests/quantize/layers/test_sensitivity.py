from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from compress.bench.sensitivity.ranking import Ranking
from compress.quantize.layers import sensitivity

GIVES, TAKES = "model.features.6", "model.features.9"
"""The layers at both ends of the outlier."""

pytestmark = pytest.mark.integration

QUICK = {"rounds": 6, "seconds": 1.0}


@pytest.fixture(scope="module")
def rankings(fragile_job):
    made = {}

    def make(runtime: str) -> Ranking:
        if runtime not in made:
            made[runtime] = sensitivity.rank(fragile_job(runtime), samples=300, **QUICK)
        return made[runtime]

    return make


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_the_fragile_layer_comes_first(rankings, runtime):
    """ONNX Runtime rounds a layer's result, so there the layer that gives the outlier is to blame as much."""
    ranking = rankings(runtime)
    ends = {"onnxruntime": {GIVES, TAKES}, "openvino": {TAKES}}[runtime]
    assert set(ranking.names[: len(ends)]) == ends
    worst, other = ranking.layers[0], ranking.layers[len(ends)]
    assert worst.error > 3 * other.error
    assert worst.loss.value > 0.03
    assert worst.loss.low > 0
    assert worst.sqnr < other.sqnr
    assert ranking.loss.value > 0.03


def test_leaving_the_fragile_layer_in_float_gives_the_accuracy_back(rankings):
    worst = rankings("openvino").layers[0]
    assert worst.gain.low > 0
    assert worst.remaining < 0.3 * rankings("openvino").error
    assert worst.bytes > 0


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_every_layer_is_timed_and_judged_on_the_same_samples(rankings, runtime):
    ranking = rankings(runtime)
    assert len(ranking.layers) == 5
    for found in ranking.layers:
        assert found.latency.low <= found.latency.value <= found.latency.high
        assert 0.2 < found.latency.value < 5
        assert found.loss.n == found.gain.n == 300
    assert ranking.latency.low <= ranking.latency.value <= ranking.latency.high
    assert ranking.method["latency"][0]["rounds"] == 6


def test_where_the_target_is_another_machine_nothing_is_timed(fragile_job):
    seen = []
    elsewhere = replace(fragile_job("onnxruntime"), measurable=False)
    ranking = sensitivity.rank(elsewhere, samples=50, on_progress=lambda done, total: seen.append((done, total)))
    assert ranking.latency is None
    assert {found.latency for found in ranking.layers} == {None}
    assert set(ranking.names[:2]) == {GIVES, TAKES}
    assert seen == [(index + 1, 10) for index in range(10)]


def test_samples_are_drawn_by_the_seed_without_repetition(small_data):
    drawn = sensitivity.draw(small_data.validation, 40, 3)
    assert len(np.unique(drawn.hashes())) == 40
    assert (drawn.inputs == sensitivity.draw(small_data.validation, 40, 3).inputs).all()
    assert not np.array_equal(drawn.labels, sensitivity.draw(small_data.validation, 40, 4).labels)
    assert sensitivity.draw(small_data.validation, 1000, 0) is small_data.validation
