from __future__ import annotations

import pytest

from compress.quantities import BYTES, FRACTION, SECONDS, parse


@pytest.mark.parametrize(
    ("text", "units", "value"),
    [
        ("2 ms", SECONDS, 0.002),
        ("2ms", SECONDS, 0.002),
        (" 1.5 s ", SECONDS, 1.5),
        ("0.1 ms", SECONDS, 0.0001),
        ("150 µs", SECONDS, 0.00015),
        ("150 us", SECONDS, 0.00015),
        ("3", SECONDS, 3.0),
        (3, SECONDS, 3.0),
        ("1e-3", SECONDS, 0.001),
        (".5 s", SECONDS, 0.5),
        ("110 kB", BYTES, 110_000.0),
        ("1.5 MB", BYTES, 1_500_000.0),
        ("1 KiB", BYTES, 1024.0),
        ("110_000", BYTES, 110_000.0),
        ("0.5%", FRACTION, 0.005),
        ("0.5 %", FRACTION, 0.005),
    ],
)
def test_text_with_a_unit_becomes_the_base_unit_exactly(text, units, value):
    assert parse(text, units, "x") == value


@pytest.mark.parametrize("value", ["", "ms", "fast", "1 2 ms", "--1 s", "1e s", None, [1], True, "nan", "inf s"])
def test_other_values_are_refused_with_an_example(value):
    with pytest.raises(ValueError, match="'2 ms'"):
        parse(value, SECONDS, "2 ms")


@pytest.mark.parametrize("text", ["2 MB", "2 MS", "2 m s"])
def test_unknown_unit_lists_the_units(text):
    with pytest.raises(ValueError, match=r"units: s, ms, us|such as '2 ms'"):
        parse(text, SECONDS, "2 ms")


def test_bits_are_not_taken_for_bytes():
    with pytest.raises(ValueError, match="unknown unit 'kb'"):
        parse("110 kb", BYTES, "110 kB")
