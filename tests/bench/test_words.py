from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.bench import words
from compress.bench.figures import Interval, PairedDifference


@pytest.mark.parametrize(
    ("value", "text"), [(2.5, "2.50 s"), (0.00123, "1.23 ms"), (4.5e-5, "45.0 µs"), (1e-8, "0.0100 µs"), (0, "0 µs")]
)
def test_seconds_get_a_unit_that_reads_well(value, text):
    assert words.seconds(value) == text


@pytest.mark.parametrize(("value", "text"), [(512, "512 B"), (78_300, "78.3 kB"), (1_234_567, "1.23 MB"), (0, "0 B")])
def test_bytes_are_in_powers_of_a_thousand(value, text):
    assert words.size(value) == text


@pytest.mark.parametrize(
    ("sizes", "unit"),
    [([95], "B"), ([95, 2_617_096], "kB"), ([223_000, 2_617_096], "kB"), ([223_000, 39_200_000], "MB"),
     ([95, 61_000_000], "kB"), ([0, 0], "kB"), ([], "kB"), ([3e9, 4e12], "GB")],
)  # fmt: skip
def test_sizes_of_a_column_share_a_unit_in_which_all_of_them_can_be_read(sizes, unit):
    assert words.unit_of_sizes(sizes)[1] == unit


@pytest.mark.parametrize(
    ("times", "unit"), [([0.4, 2.0], "s"), ([3e-6, 2.0], "µs"), ([3e-4, 2.0], "ms"), ([0.0, 2.0], "s"), ([], "ms")]
)
def test_times_of_a_column_share_the_unit_of_the_largest_in_which_the_smallest_can_be_read(times, unit):
    assert words.unit_of_times(times)[1] == unit


def test_ratios_keep_three_digits_above_one_and_two_below():
    assert words.ratio(Interval(3.214, 3.099, 41.23)) == "3.21x [3.10, 41.2]"
    assert words.ratio(Interval(0.973, 0.951, 0.994)) == "0.97x [0.95, 0.99]"


def test_a_gain_is_called_a_gain_and_its_interval_follows():
    gain = PairedDifference(-0.02, -0.03, -0.01, 0.01, 30, 10, 1000)
    assert words.lost(gain) == "gains 2.00 points of accuracy [1.00, 3.00]"
    loss = PairedDifference(0.02, -0.01, 0.05, 0.01, 10, 30, 1000)
    assert words.lost(loss) == "loses 2.00 points of accuracy [-1.00, 5.00]"


@given(st.floats(1e-6, 1e9), st.integers(1, 5))
def test_digits_are_near_the_value_and_never_exponents(value, significant):
    text = words.digits(value, significant)
    assert "e" not in text
    assert float(text) == pytest.approx(value, rel=0.5 * 10 ** (1 - significant) + 1e-9)
