"""When a warm-up ends, on a clock that only the calls move."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edge_runtime.probes.stationary import WarmUp, is_stationary, warm_up


def warmed(duration: Callable[[int], float], *, most_seconds: float = 1e6, **settings: object) -> tuple[WarmUp, int]:
    """Warm up a call whose ``n``-th takes ``duration(n)``; and how often it was called."""
    now, count = 0.0, 0

    def call() -> None:
        nonlocal now, count
        now += duration(count)
        count += 1

    return warm_up(call, 0.02, clock=lambda: now, most_seconds=most_seconds, **settings), count


def test_a_steady_call_is_stationary_after_the_fewest_blocks():
    found, _ = warmed(lambda _: 0.004)
    assert (found.stationary, found.blocks) == (True, 6)
    assert found.call_seconds == pytest.approx(0.004)


def test_a_call_that_becomes_faster_is_warmed_up_until_it_no_longer_does():
    found, calls = warmed(lambda n: 0.004 + 0.02 * np.exp(-n / 40))
    assert found.stationary
    assert calls > 120  # 0.02 exp(-3): a quarter more than the final time is left after 120
    assert found.call_seconds == pytest.approx(0.004, rel=0.1)


def test_a_call_that_slows_down_is_not_stationary_either():
    found, _ = warmed(lambda n: 0.004 * (1 + n / 100), most_seconds=3)
    assert not found.stationary
    assert found.seconds >= 3


def test_a_sudden_change_is_waited_for():
    found, calls = warmed(lambda n: 0.01 if n < 50 else 0.004, least_blocks=30)
    assert found.stationary
    assert calls > 50
    assert found.call_seconds == pytest.approx(0.004)


def test_noise_alone_does_not_keep_a_warm_up_going():
    random = np.random.default_rng(0)
    blocks = [warmed(lambda _: 0.004 * random.lognormal(0, 0.3))[0].blocks for _ in range(100)]
    assert np.median(blocks) <= 8
    assert max(blocks) < 60


def test_a_call_longer_than_a_block_is_a_block():
    found, calls = warmed(lambda _: 0.5)
    assert (found.blocks, calls) == (6, 6)


def test_time_bounds_it_but_for_three_calls():
    found, calls = warmed(lambda _: 100.0, most_seconds=1)
    assert (found.stationary, calls) == (None, 3)  # too short to tell


@pytest.mark.parametrize("blocks", [6, 8, 10, 14])
def test_a_steady_call_for_which_the_fewest_blocks_do_not_fit_is_hardly_ever_called_unsteady(blocks):
    random = np.random.default_rng(blocks)

    def ended() -> bool | None:
        most = 0.3 * (blocks - 0.5)
        return warmed(lambda _: 0.3 * random.lognormal(0, 0.01), most_seconds=most, least_blocks=15)[0].stationary

    said = [ended() for _ in range(300)]
    assert said.count(True) > 0.85 * len(said)
    assert said.count(False) < 0.05 * len(said)


def test_fewer_than_six_blocks_never_tell():
    assert {warmed(lambda n: 1.0 / (n + 1), most_seconds=most)[0].stationary for most in (0.1, 1.9, 2.2)} == {None}


def test_a_slow_call_that_becomes_faster_is_not_stationary():
    found, _ = warmed(lambda n: 0.3 * (2 - n / 8), most_seconds=2.9, least_blocks=15)
    assert (found.stationary, found.blocks < 15) == (False, True)


def test_a_stationary_series_seldom_looks_like_a_trend_and_a_trend_like_none():
    random = np.random.default_rng(1)
    steady = [is_stationary(random.lognormal(0, 0.05, 20)) for _ in range(500)]
    falling = [is_stationary(random.lognormal(0, 0.05, 20) * np.linspace(1.4, 1.0, 20)) for _ in range(500)]
    assert np.mean(steady) > 0.85
    assert np.mean(falling) < 0.2
