"""JSON from outside: what readers disagree about, or what costs more than its length, is refused."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from edge_runtime import limits
from edge_runtime.errors import ManifestError

TOKENS = re.compile(r"""\\.|["\[\]{}]""", re.DOTALL)
"""What opens and closes: an escaped character is passed over, and so cannot end a string."""


def load(data: bytes, name: str = "manifest.json") -> Any:
    """The value of UTF-8 JSON without twice-named keys, NaN, overflow, or deep nesting. Raises ManifestError."""

    def refuse(problem: str) -> NoReturn:
        raise ManifestError(f"{name}: {problem}; make the bundle again with `compress bundle`")

    def number(text: str) -> int | float:
        if len(text) > limits.JSON_DIGITS:
            refuse(f"has a number of {len(text)} digits")
        value = float(text) if any(sign in text for sign in ".eE") else int(text)
        if not math.isfinite(value):
            refuse(f"has the number {text}, which is too large")
        return value

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(found)
        if len(value) < len(found):
            refuse("has an object with one key twice")
        return value

    try:
        text = data.decode("utf-8")
        if _depth(text) > limits.JSON_DEPTH:
            refuse(f"nests values more than {limits.JSON_DEPTH} deep")
        return json.loads(
            text,
            parse_int=number,
            parse_float=number,
            parse_constant=lambda text: refuse(f"has {text}, which is not JSON"),
            object_pairs_hook=pairs,
        )
    except UnicodeDecodeError:
        refuse("is not UTF-8")
    except json.JSONDecodeError as error:
        refuse(f"is not JSON: {error.msg} at character {error.pos}")


def _depth(text: str) -> int:
    """How deep brackets nest, outside of strings: counted before a reader that calls itself for each of them."""
    deepest = depth = 0
    inside = False
    for found in TOKENS.finditer(text):
        token = found.group()
        if token == '"':
            inside = not inside
        elif not inside and token in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif not inside and token in "]}":
            depth -= 1
    return deepest
