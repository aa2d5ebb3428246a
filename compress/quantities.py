"""Quantities a person writes (`2 ms`, `110 kB`, `0.5%`, `5x`) as the seconds, bytes, fractions, factors used inside."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "min": 60.0}
BYTES = {"B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
FRACTION = {"%": 1e-2}
FACTOR = {"x": 1.0, "×": 1.0}
_NUMBER = r"[+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"


def parse(value: Any, units: dict[str, float], example: str) -> float:
    """A bare number is taken in the base unit; a string may carry one of ``units``. Raises :class:`ValueError`."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    match = re.fullmatch(rf"\s*({_NUMBER})\s*(\S*)\s*", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"expected a number or a text such as '{example}'")
    number, unit = match.groups()
    if unit and unit not in units:
        raise ValueError(f"unknown unit '{unit}': write for example '{example}'; units: {', '.join(units)}")
    result = float(number) * units.get(unit, 1.0)
    # 1e-15 relative: '0.1 ms' is 0.1 * 0.001 = 0.00010000000000000002 in binary, and would be printed so
    return float(f"{result:.15g}") if math.isfinite(result) else result


def _quantity(units: dict[str, float], example: str, **bounds: float) -> Any:
    """The type of a field: floats within ``bounds``, read by :func:`parse`; its JSON Schema allows both forms."""
    number = Annotated[float, Field(allow_inf_nan=False, **bounds)]
    names = "|".join(re.escape(unit) for unit in units)
    text = Annotated[str, Field(pattern=rf"^\s*{_NUMBER}\s*({names})?\s*$", examples=[example])]
    return Annotated[number, BeforeValidator(lambda value: parse(value, units, example), number | text)]


Duration = _quantity(SECONDS, "2 ms", gt=0)
Size = _quantity(BYTES, "110 kB", gt=0)
Fraction = _quantity(FRACTION, "0.5%", ge=0, le=1)
Factor = _quantity(FACTOR, "5x", gt=0)
