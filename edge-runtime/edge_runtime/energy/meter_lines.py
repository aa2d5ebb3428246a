"""The line protocol of external meters: what one line may say.

    # a comment, as is an empty line
    12.5                watts now
    3.201,12.5          seconds on the meter's own clock, watts
    15234.2 J           joules since the meter began to count
    3.201,0.00423 kWh   both

Fields are separated by a comma, a semicolon or a tab. The unit follows its number: W (understood without), mW, J, Wh or
kWh. A feed says either power or energy, throughout.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from edge_runtime.limits import METER_LINE_BYTES

UNITS = {"": 1.0, "W": 1.0, "mW": 1e-3, "J": 1.0, "Wh": 3600.0, "kWh": 3.6e6}
"""Watts or joules in one of each."""
ENERGY = {"J", "Wh", "kWh"}
LARGEST = 1e15
"""Watts, joules or seconds; beyond it a difference has no digits left."""
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
LINE = re.compile(rf"(?:({NUMBER})\s*[,;\t]\s*)?({NUMBER})\s*(W|mW|J|Wh|kWh)?")


class Line(NamedTuple):
    """``seconds`` on the meter's clock, None when it tells none; ``value`` in watts or, when ``energy``, in joules;
    ``step``: the smallest difference that its digits can tell."""

    seconds: float | None
    value: float
    energy: bool
    step: float


def parse(text: str) -> Line | None:
    """A line, or None for a comment. Raises ValueError for anything else."""
    text = text.strip()
    if not text or text.startswith("#"):
        return None
    match = LINE.fullmatch(text) if len(text) <= METER_LINE_BYTES else None
    if not match:
        raise ValueError(f"not a line of a meter: {text[:60]!r}")
    unit = match[3] or ""
    seconds, value = float(match[1]) if match[1] else None, float(match[2]) * UNITS[unit]
    if abs(value) > LARGEST or abs(seconds or 0.0) > LARGEST:
        raise ValueError(f"not a number that a meter can say: {text[:60]!r}")
    return Line(seconds, value, unit in ENERGY, _step(match[2]) * UNITS[unit])


def _step(number: str) -> float:
    """One in the last digit written."""
    digits, _, exponent = number.lower().partition("e")
    return 10.0 ** min(int(exponent or 0) - len(digits.partition(".")[2]), 15)
