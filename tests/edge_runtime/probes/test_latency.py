"""The interleaving protocol, on a clock that only the timed calls move."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable

import numpy as np
import pytest

from edge_runtime import ProbeError
from edge_runtime.probes import latency


class Clock:
    """Stands in for the module `time`."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def perf_counter_ns(self) -> int:
        return round(self.now * 1e9)


class Bench:
    """Variants that take set times, and a log of who ran."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.log: list[str] = []

    def variant(self, name: str, seconds: float, after_a_switch: float = 0.0) -> Callable[[], None]:
        def call() -> None:
            switched = bool(self.log) and self.log[-1] != name
            self.log.append(name)
            self.clock.now += seconds + (after_a_switch if switched else 0.0)

        return call

    def blocks(self, samples: latency.LatencySamples) -> list[tuple[str, int]]:
        """(variant, calls) of every block after the warm-up, in the order they ran."""
        sizes = {name: count + 1 for name, count in samples.method["calls_per_block"].items()}
        left = sum(sizes.values()) * samples.method["rounds"]
        timed, blocks = self.log[-left:], []
        while timed:
            name = timed[0]
            assert timed[: sizes[name]] == [name] * sizes[name]
            blocks.append((name, sizes[name]))
            timed = timed[sizes[name] :]
        return blocks


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    clock = Clock()
    monkeypatch.setattr(latency, "time", clock)
    return Bench(clock)


def test_a_block_lasts_about_as_long_as_asked_and_at_least_three_calls(bench: Bench):
    runs = {"fast": bench.variant("fast", 0.001), "slow": bench.variant("slow", 0.5)}
    samples = latency.interleave(runs, rounds=4, seconds=1000, block_seconds=0.02)
    assert samples.method["calls_per_block"] == {"fast": 20, "slow": 3}
    assert [len(block) for block in samples.calls["fast"]] == [20] * 4
    assert [len(block) for block in samples.calls["slow"]] == [3] * 4


def test_every_round_runs_every_variant_once(bench: Bench):
    runs = {name: bench.variant(name, 0.004) for name in "abc"}
    samples = latency.interleave(runs, rounds=10, seconds=1000)
    names = [name for name, _ in bench.blocks(samples)]
    assert all(sorted(names[at : at + 3]) == ["a", "b", "c"] for at in range(0, 30, 3))


def test_the_order_is_drawn_anew_every_round_without_favour(bench: Bench):
    runs = {name: bench.variant(name, 0.004) for name in "abc"}
    samples = latency.interleave(runs, rounds=300, seconds=1000)
    names = [name for name, _ in bench.blocks(samples)]
    orders = ["".join(names[at : at + 3]) for at in range(0, 900, 3)]
    counts = [orders.count(order) for order in ("abc", "acb", "bac", "bca", "cab", "cba")]
    assert sum(counts) == 300
    assert min(counts) > 30  # 50 expected, deviation 6.5


def test_the_seed_decides_the_order(bench: Bench):
    def order(seed: int) -> list[tuple[str, int]]:
        runs = {name: bench.variant(name, 0.004) for name in "abc"}
        return bench.blocks(latency.interleave(runs, rounds=20, seconds=1000, seed=seed))

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_the_first_call_after_a_switch_is_not_counted(bench: Bench):
    runs = {name: bench.variant(name, 0.004, after_a_switch=1.0) for name in "ab"}
    samples = latency.interleave(runs, rounds=20, seconds=1e6)
    assert bench.blocks(samples)
    for name in "ab":
        np.testing.assert_allclose(np.concatenate(samples.calls[name]), 0.004, atol=2e-9)


def test_block_medians_are_seconds_by_round(bench: Bench):
    runs = {"a": bench.variant("a", 0.004), "b": bench.variant("b", 0.006)}
    samples = latency.interleave(runs, rounds=5, seconds=1000)
    np.testing.assert_allclose(samples.block_medians("b") / samples.block_medians("a"), [1.5] * 5, rtol=1e-5)


def test_it_ends_before_a_round_that_would_not_be_done_in_time(bench: Bench):
    samples = latency.interleave({"a": bench.variant("a", 0.01)}, rounds=1000, seconds=1.0, block_seconds=0.1)
    assert samples.method["ended_by"] == "seconds"
    assert 6 <= samples.method["rounds"] < 1000
    assert 0.8 < samples.method["seconds"] <= 1.0


def test_it_ends_after_the_rounds_asked_for(bench: Bench):
    samples = latency.interleave({"a": bench.variant("a", 0.01)}, rounds=5, seconds=1000)
    assert (samples.method["ended_by"], samples.method["rounds"]) == ("rounds", 5)


def test_however_slow_six_rounds_are_run(bench: Bench):
    samples = latency.interleave({"a": bench.variant("a", 10)}, rounds=40, seconds=1)
    assert len(samples.calls["a"]) == 6


def test_garbage_is_not_collected_while_timing_and_is_again_afterwards(bench: Bench):
    seen = []
    call = bench.variant("a", 0.004)
    assert gc.isenabled()
    latency.interleave({"a": lambda: (seen.append(gc.isenabled()), call())}, rounds=3, seconds=100)
    assert set(seen) == {False}
    assert gc.isenabled()


def test_a_call_that_fails_passes_its_error_on_and_leaves_the_collector_on(bench: Bench):
    def fail() -> None:
        raise RuntimeError("the model is broken")

    with pytest.raises(RuntimeError, match="the model is broken"):
        latency.interleave({"a": fail}, rounds=3, seconds=100)
    assert gc.isenabled()


def test_the_method_is_stated_in_plain_json(bench: Bench):
    samples = latency.interleave({"a": bench.variant("a", 0.004)}, rounds=3, seconds=100, block_seconds=0.01, seed=7)
    method = json.loads(json.dumps(samples.method))
    assert method["protocol"].startswith("interleaved blocks in an order drawn anew every round")
    stated = {"rounds", "rounds_asked", "seconds", "seconds_asked", "block_seconds", "calls_per_block", "clock", "seed"}
    assert stated <= set(method)
    assert (method["variants"], method["seed"]) == (["a"], 7)


@pytest.mark.parametrize(
    "wrong", [{"runs": {}}, {"rounds": 0}, {"seconds": 0}, {"block_seconds": 0}], ids=lambda wrong: next(iter(wrong))
)
def test_nothing_to_measure_is_an_error(wrong: dict):
    with pytest.raises(ProbeError, match="at least one variant, one round and a positive time"):
        latency.interleave(**({"runs": {"a": int}, "rounds": 1, "seconds": 1} | wrong))


def test_real_time_is_in_seconds():
    samples = latency.interleave({"sum": lambda: sum(range(20_000))}, rounds=3, seconds=5, block_seconds=0.002)
    assert 1e-5 < np.median(samples.block_medians("sum")) < 0.1


def test_variants_are_opened_anew_several_times_in_random_order_and_rounds_know_on_which_opening():
    orders = []

    def reopen(order):
        orders.append(tuple(order))
        return {name: lambda: sum(range(2000)) for name in order}

    samples = latency.interleave(("a", "b"), rounds=40, seconds=60, block_seconds=0.001, reopen=reopen)
    assert len(orders) == samples.method["placements"] == 8
    assert set(orders) == {("a", "b"), ("b", "a")}
    assert np.bincount(samples.placement).tolist() == [5] * 8


def test_what_opens_too_slowly_is_opened_once():
    def reopen(order):
        time.sleep(0.03)
        return dict.fromkeys(order, int)

    samples = latency.interleave(("a",), rounds=6, seconds=0.1, block_seconds=0.001, reopen=reopen)
    assert samples.method["placements"] == 1
    assert len(samples.placement) == 6
