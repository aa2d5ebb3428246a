"""When throttling began, by windows that are made up; and windows of a real run."""

from __future__ import annotations

import time

import numpy as np
import pytest

from edge_runtime.probes.sustained import Window, run, throttling

CALM = {"throttled": False, "throttle_count": None, "frequency": 1.8e9, "others": 0.0}


def windows(p50: list[float], **changes: list) -> list[Window]:
    """A window a second; ``changes`` are conditions by window."""
    random = np.random.default_rng(0)
    return [
        Window(
            float(index + 1),
            value * random.lognormal(0, 0.003),
            2 * value,
            100,
            CALM | {name: values[index] for name, values in changes.items()},
        )
        for index, value in enumerate(p50)
    ]


def test_a_steady_run_has_no_sign_of_it():
    assert throttling(windows([0.01] * 60), CALM) == (None, "no sign of it in 60 s")


def test_what_the_machine_says_comes_first():
    found = windows([0.01] * 60, throttled=[False] * 40 + [True] * 20)
    assert throttling(found, CALM) == (41.0, "the machine says that it is throttled")
    counted = windows([0.01] * 60, throttle_count=[3] * 25 + [4] * 35)
    assert throttling(counted, CALM | {"throttle_count": 3}) == (26.0, "the machine has counted a throttle event")


def test_one_that_was_throttled_before_is_said_to_have_been():
    found = windows([0.01] * 60, throttled=[True] * 60)
    at, why = throttling(found, CALM | {"throttled": True})
    assert (at, why) == (None, "no sign of it in 60 s; it was throttled before the run began")


def test_a_frequency_that_falls_and_stays_low_is_throttling():
    found = windows([0.01] * 60, frequency=[1.8e9] * 33 + [1.5e9] * 27)
    assert throttling(found, CALM) == (34.0, "the frequency fell from 1.80 to 1.50 GHz")
    dip = windows([0.01] * 60, frequency=[1.8e9] * 33 + [1.5e9] * 9 + [1.8e9] * 18)
    assert throttling(dip, CALM)[0] is None


def test_latency_that_rises_and_stays_is_throttling():
    at, why = throttling(windows([0.01] * 42 + [0.011] * 18), CALM)
    assert at == 43.0
    assert why.startswith("latency rose by 10% at 43 s, and stayed there")


def test_a_spell_that_ends_is_not():
    assert throttling(windows([0.01] * 30 + [0.02] * 9 + [0.01] * 21), CALM)[0] is None


def test_a_rise_within_the_noise_of_the_beginning_is_not():
    random = np.random.default_rng(3)
    noisy = list(0.01 * random.lognormal(0, 0.1, 60))
    noisy[30:] = [value * 1.1 for value in noisy[30:]]
    assert throttling(windows(noisy), CALM)[0] is None


def test_a_rise_while_others_take_the_processor_is_not_called_throttling():
    found = windows([0.01] * 30 + [0.02] * 30, others=[0.02] * 30 + [0.5] * 30)
    at, why = throttling(found, CALM)
    assert at is None
    assert "other programs took 50% of the processor" in why


def test_a_short_run_is_not_judged_by_its_latency():
    at, why = throttling(windows([0.01] * 15 + [0.02] * 12), CALM)
    assert at is None
    assert "27 windows; latency is judged from 30 on" in why


def test_windows_are_told_as_they_end():
    seen: list[Window] = []
    at, _ = run(lambda: time.sleep(0.001), 0.5, lambda: dict(CALM), seen.append, window_seconds=0.1)
    assert at is None
    assert 3 <= len(seen) <= 5
    assert seen[-1].second == pytest.approx(0.5, abs=0.3)
    assert all(0.001 <= window.p50 <= window.p99 and window.n >= 1 for window in seen)
