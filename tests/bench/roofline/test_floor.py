from __future__ import annotations

import pytest

from compress.bench.roofline.cost import Cost, Product
from compress.bench.roofline.floor import PEAK_SPREAD, floor, say

PEAKS = {
    "threads": 1,
    "float32": 40e9,
    "int8": {"onnxruntime": 80e9, "openvino": 60e9, "litert": None},
    "read": 30e9,
    "copy": 20e9,
    "resident": [{"level": 2, "bytes": 1_000_000, "read": 70e9}, {"level": 3, "bytes": 32_000_000, "read": 50e9}],
}


def network(macs: int = 4_000_000, precision: str = "float32", weights: int = 400_000, moved: int = 1000) -> Cost:
    return Cost((Product("layer", macs, precision, moved),), weights, 3000, 40)


def test_multiplications_bind_where_they_take_longer():
    found = floor(network(macs=40_000_000), PEAKS, p50=0.004)
    assert (found.side, found.seconds, found.compute) == ("compute", pytest.approx(1e-3), found.seconds)
    assert found.reached == pytest.approx(0.25)


def test_moving_weights_binds_where_each_is_used_once():
    found = floor(network(macs=100_000, weights=300_000_000), PEAKS)
    assert (found.side, found.source) == ("memory", "memory")
    assert found.seconds == pytest.approx((300_000_000 + 3040) / 30e9)
    assert found.reached is None


@pytest.mark.parametrize(
    ("weights", "source", "rate"),
    [(400_000, "level 2 cache", 70e9), (4_000_000, "level 3 cache", 50e9), (40_000_000, "memory", 30e9)],
)
def test_bytes_come_from_the_smallest_cache_that_holds_all(weights, source, rate):
    found = floor(network(weights=weights), PEAKS)
    assert (found.source, found.bandwidth) == (source, rate)
    assert found.memory == pytest.approx((weights + 3040) / rate)


def test_activations_move_only_where_they_exceed_the_last_cache():
    within, beyond = floor(network(moved=31_000_000), PEAKS), floor(network(moved=33_000_000), PEAKS)
    assert within.memory == pytest.approx(403_040 / 50e9)
    assert beyond.memory == pytest.approx((403_040 + 33_000_000) / 30e9)


def test_int8_is_multiplied_at_the_highest_rate_of_any_runtime():
    assert floor(network(precision="int8"), PEAKS).compute == pytest.approx(4e6 / 80e9)


def test_int8_is_never_slower_than_float32():
    slow = PEAKS | {"int8": {"onnxruntime": 10e9}}
    assert floor(network(precision="int8"), slow).compute == pytest.approx(4e6 / 40e9)


def test_layers_of_two_precisions_add_up():
    mixed = Cost((Product("a", 40_000_000, "float32", 9), Product("b", 40_000_000, "int8", 9)), 10, 10, 10)
    found = floor(mixed, PEAKS)
    assert found.compute == pytest.approx(1.5e-3)
    assert found.rates == {"float32": 40e9, "int8": 80e9}


def test_a_precision_without_a_peak_counts_as_float32_and_that_is_told():
    found = floor(network(precision="int8"), PEAKS | {"int8": {"onnxruntime": None}})
    assert found.compute == pytest.approx(4e6 / 40e9)
    assert "int8" in found.notes[0]


def test_the_range_covers_wrong_peaks_and_cold_caches():
    found = floor(network(macs=1000), PEAKS)
    assert found.low == pytest.approx(found.seconds / (1 + PEAK_SPREAD))
    assert found.high == pytest.approx(403_040 / 30e9 / (1 - PEAK_SPREAD))
    assert found.low < found.seconds < found.high


def test_caches_that_are_not_told_leave_memory_and_a_note():
    found = floor(network(), PEAKS | {"resident": []})
    assert found.source == "memory"
    assert any("does not tell its caches" in note for note in found.notes)


def test_faster_than_the_floor_is_explained_and_not_hidden():
    found = floor(network(macs=40_000_000), PEAKS, p50=0.5e-3)
    assert found.reached == pytest.approx(2)
    assert any("Winograd" in note for note in found.notes)


def test_what_is_not_counted_is_told():
    cost = Cost((), 10, 10, 10, uncounted=("Einsum",))
    assert floor(cost, PEAKS).notes == ("not counted: what Einsum multiply",)


def test_it_is_said_in_one_sentence():
    assert say(floor(network(macs=40_000_000, precision="int8"), PEAKS, p50=1e-3)) == (
        "the floor of an inference is 500 µs (455 to 556 µs), by 80.0 GMAC/s in int8; "
        "this one reaches 50 % of that speed"
    )
    assert say(floor(network(macs=1), PEAKS)).endswith("by 70.0 GB/s from the level 2 cache")
