"""When sampling ends: by the width of the intervals, never by what they say."""

from __future__ import annotations

import numpy as np
import pytest

from compress.bench import stats
from edge_runtime.probes.stopping import Stopping, half_width, signed_rank


def run(
    effect: float,
    *,
    noise: float = 0.03,
    opening: float = 0.003,
    precision: float = 0.01,
    seed: int = 0,
    most: int = 3000,
) -> tuple[int, Stopping, np.ndarray, np.ndarray]:
    """Rounds until it stops; the rule; log-ratios by round; and placements. Nine rounds an opening."""
    random = np.random.default_rng(seed)
    stopping = Stopping(["a", "b"], precision, several_openings=True)
    medians: dict[str, list[float]] = {"a": [], "b": []}
    placement: list[int] = []
    for index in range(most):
        if index % 9 == 0:
            shift = random.normal(0, opening)
        placement.append(index // 9)
        drift = 1 + 0.3 * np.sin(index / 50)  # the machine's, which both have
        medians["a"].append(0.001 * drift)
        medians["b"].append(0.001 * drift * np.exp(effect + shift + random.normal(0, noise)))
        if stopping.reached(medians, placement):
            break
    return len(placement), stopping, np.log(medians["b"]) - np.log(medians["a"]), np.array(placement)


def test_it_ends_when_the_interval_is_narrow_enough():
    rounds, stopping, ratios, placement = run(0.0)
    assert rounds < 3000
    assert stopping.half_width <= 0.01
    told = stats.ratio_interval(np.exp(ratios), np.ones(rounds), placement)
    assert max(told.high / told.value, told.value / told.low) - 1 == pytest.approx(stopping.half_width, rel=1e-6)


def test_it_ends_at_the_same_round_whatever_the_difference_is():
    assert len({run(effect)[0] for effect in (0.0, 0.05, 1.0)}) == 1


def test_more_noise_takes_more_rounds():
    assert run(0.0, noise=0.01)[0] < run(0.0, noise=0.05)[0] < run(0.0, noise=0.15)[0]


def test_openings_that_differ_are_not_made_up_for_by_rounds():
    openings = [run(0.0, noise=0.001, opening=0.02, seed=seed)[3][-1] + 1 for seed in range(15)]
    assert np.median(openings) >= 14  # 18, where the deviation is known: (2.1 * 0.02 / 0.01) squared
    assert run(0.0, noise=0.001, opening=0.001)[3][-1] + 1 == 8


def test_it_looks_seldom_and_not_before_24_rounds_and_eight_openings():
    stopping = Stopping(["a"], 0.5, several_openings=True)
    assert not stopping.reached({"a": [1.0] * 23}, [0] * 15 + list(range(1, 9)))
    assert not stopping.reached({"a": [1.0] * 40}, [0] * 34 + list(range(1, 7)))
    assert stopping.half_width is None
    assert stopping.reached({"a": [1.0] * 40}, [0] * 33 + list(range(1, 8)))


def test_a_precision_of_nothing_runs_out_the_time():
    assert run(0.0, noise=0.0, opening=0.0, precision=0.0, most=200)[0] == 200


def test_what_it_ends_with_holds_the_truth_nearly_as_often_as_it_says():
    held = 0
    for seed in range(150):
        _, _, ratios, placement = run(0.0, seed=seed)
        low, _, high = signed_rank(np.array([np.median(ratios[placement == one]) for one in np.unique(placement)]))
        held += low <= 0 <= high
    assert held >= 0.9 * 150


def test_one_opening_is_cut_into_runs_so_that_slow_spells_widen_the_interval():
    random = np.random.default_rng(0)
    noise = random.normal(0, 0.02, 400)
    spells = np.zeros(400)
    for index in range(1, 400):
        spells[index] = 0.95 * spells[index - 1] + noise[index] * np.sqrt(1 - 0.95**2)
    alone, together = ([np.ones(400), np.exp(values)] for values in (noise, spells))
    assert half_width(together, [0] * 400) > 1.5 * half_width(alone, [0] * 400)


def test_fewer_values_than_six_give_no_interval():
    with pytest.raises(ValueError, match="5 values give no 95% interval"):
        signed_rank(np.arange(5.0))
