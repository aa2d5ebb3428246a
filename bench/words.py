"""Numbers as people read them: the one place where seconds become ms, bytes kB and fractions percent."""

from __future__ import annotations

import math
from collections.abc import Iterable

from compress.bench.figures import Interval, PairedDifference
from compress.bench.run.results import Variant

NO_VALUE = "–"
_TIMES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_JOULES = ((1.0, "J"), (1e-3, "mJ"), (1e-6, "µJ"))
_COUNTS = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_SIZES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))
LEAST, MOST = 0.01, 10_000
"""What numbers of a column, in its one unit, should lie between."""


def digits(value: float, significant: int = 3) -> str:
    """``value`` with so many significant digits, never in exponents and never without its integer digits."""
    if value == 0:
        return "0"
    return f"{value:.{max(0, significant - 1 - math.floor(math.log10(abs(value))))}f}"


def seconds(value: float) -> str:
    """``0.00123`` is ``1.23 ms``."""
    return _scaled(value, _TIMES)


def size(value: float) -> str:
    """Bytes in powers of a thousand: ``1234567`` is ``1.23 MB``."""
    return _scaled(value, _SIZES)


def joules(value: float) -> str:
    """``0.00123`` is ``1.23 mJ``."""
    return _scaled(value, _JOULES)


def hertz(value: float) -> str:
    """``2.6e9`` is ``2.60 GHz``."""
    return f"{digits(value / 1e9)} GHz"


def ratio(interval: Interval) -> str:
    """``3.21x [3.10, 3.33]``."""
    return f"{times(interval.value)} {bracket(interval)}"


def times(value: float) -> str:
    """``3.214`` is ``3.21x``, ``41.23`` is ``41.2x``."""
    return f"{_factor(value)}x"


def bracket(interval: Interval) -> str:
    """``[3.10, 3.33]``."""
    return f"[{_factor(interval.low)}, {_factor(interval.high)}]"


def percent(value: float, places: int = 2) -> str:
    """``0.9512`` is ``95.12 %``."""
    return f"{100 * value:.{places}f} %"


def points(value: float) -> str:
    """A difference of accuracies: ``0.0031`` is ``0.31 points``."""
    return f"{100 * value:.2f} points"


def points_bracket(low: float, high: float) -> str:
    """``0.001`` and ``0.0052`` are ``[0.10, 0.52]``."""
    return f"[{100 * low:.2f}, {100 * high:.2f}]"


def lost(drop: PairedDifference) -> str:
    """``loses 0.31 points of accuracy [0.10, 0.52]``, or ``gains``; the interval follows the word's direction."""
    sign = -1 if drop.value < 0 else 1
    low, high = sorted((sign * drop.low, sign * drop.high))
    verb = "gains" if sign < 0 else "loses"
    return f"{verb} {points(abs(drop.value))} of accuracy {points_bracket(low, high)}"


def counted(count: int, thing: str) -> str:
    """``1 layer``, ``2 layers``; ``thing`` in the singular, of a plural with an s."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def step(variant: Variant) -> str:
    """``quantize int8``; the precision is left out where the stage has not changed it."""
    return variant.stage if variant.precision == "fp32" else f"{variant.stage} {variant.precision}"


def spread(low: str, high: str) -> str:
    """``0.73 points`` and ``1.70 points`` are ``0.73 to 1.70 points``."""
    number, _, unit = low.partition(" ")
    return f"{number if unit and high.endswith(' ' + unit) else low} to {high}"


def place(target: str, runtime: str) -> str:
    """``this-machine, onnxruntime``."""
    return f"{target}, {runtime}"


def _factor(value: float) -> str:
    return digits(value, 2 if value < 1 else 3)


def grouped(value: float) -> str:
    """``1,234`` or ``12.3``: three digits at least."""
    return f"{value:,.0f}" if value >= 1000 else digits(value)


def unit_of_times(values: Iterable[float]) -> tuple[float, str]:
    """(scale, name) of the unit in which a column of seconds reads best."""
    return _unit_of_largest(values, _TIMES)


def unit_of_sizes(values: Iterable[float]) -> tuple[float, str]:
    """(scale, name) of the unit in which a column of bytes reads best: that of the smallest, which files are made to
    be; a larger one where the largest would need five digits before its point, and the smallest still has some."""
    known = [value for value in values if value] or [1e3]
    index = _SIZES.index(_unit(min(known), _SIZES))
    while index and max(known) >= MOST * _SIZES[index][0] and min(known) >= LEAST * _SIZES[index - 1][0]:
        index -= 1
    return _SIZES[index]


def unit_of_joules(values: Iterable[float]) -> tuple[float, str]:
    """(scale, name) of the unit in which a column of joules reads best."""
    return _unit_of_largest(values, _JOULES)


def unit_of_counts(values: Iterable[float]) -> tuple[float, str]:
    """(scale, prefix) in which a column of large counts, such as of multiplications, reads best."""
    return _unit_of_largest(values, _COUNTS)


def _unit_of_largest(values: Iterable[float], units: tuple[tuple[float, str], ...]) -> tuple[float, str]:
    """The largest's unit, or the first below it in which the smallest is no string of zeros."""
    known = [abs(value) for value in values if value]
    if not known:
        return units[1]
    index = units.index(_unit(max(known), units))
    while index + 1 < len(units) and min(known) < LEAST * units[index][0]:
        index += 1
    return units[index]


def _unit(value: float, units: tuple[tuple[float, str], ...]) -> tuple[float, str]:
    return next(((scale, name) for scale, name in units if abs(value) >= scale), units[-1])


def _scaled(value: float, units: tuple[tuple[float, str], ...]) -> str:
    scale, name = _unit(value, units)
    return f"{value:.0f} B" if name == "B" else f"{digits(value / scale)} {name}"
