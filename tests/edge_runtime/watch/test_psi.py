from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.watch.psi import CUSTOMARY, psi, threshold


def test_equal_shares_have_no_distance():
    assert psi(np.array([100, 200, 700]), np.array([1000, 2000, 7000])) == pytest.approx(0, abs=1e-4)


def test_it_is_the_textbook_sum():
    p, q = np.array([0.2, 0.3, 0.5]), np.array([0.1, 0.4, 0.5])
    expected = ((p - q) * np.log(p / q)).sum()
    assert psi(p * 1e6, q * 1e6) == pytest.approx(expected, rel=1e-4)


def test_an_empty_bin_gives_a_large_number_and_not_infinity():
    value = psi(np.array([0, 500]), np.array([500, 0]))
    assert 5 < value < 50


def test_without_change_it_is_about_bins_less_one_times_one_by_n_plus_one_by_m():
    random = np.random.default_rng(0)
    shares = np.full(10, 0.1)
    windows, references = random.multinomial(500, shares, 2000), random.multinomial(2000, shares, 2000)
    assert psi(windows, references).mean() == pytest.approx(9 * (1 / 500 + 1 / 2000), rel=0.1)


def test_a_small_sample_is_judged_only_by_a_calibrated_threshold():
    assert threshold(499, None) is None
    assert threshold(500, None) == CUSTOMARY
    assert threshold(100, 0.31) == 0.31
