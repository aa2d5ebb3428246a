"""Pydantic's errors in the words of someone who writes recipes."""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from compress.quantities import Fraction
from compress.recipe import Recipe
from compress.suggest import did_you_mean

Where = tuple[str | int, ...]
BOUNDS = {
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "too_short": "needs at least {min_length} of them",
    "too_long": "at most {max_length} of them",
    "string_too_short": "must not be empty",
    "string_too_long": "longer than {max_length} characters",
    "finite_number": "must be a finite number",
}
EXPECTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "invalid-json-value": "text, numbers, lists or mappings",
}


def explain(error: ValidationError) -> Iterator[tuple[Where, str]]:
    """(where, message) of each error; ``where`` are keys and indices from the recipe's root.

    A list with a mistake inside counts as too short for pydantic, which drops the wrong item: that is left out.
    """
    details = error.errors(include_url=False)
    around = {detail["loc"][:length] for detail in details for length in range(len(detail["loc"]))}
    for detail in details:
        where, kind = tuple(detail["loc"]), detail["type"]
        if kind != "too_short" or where not in around:
            yield where, _message(where, kind, detail)


def _message(where: Where, kind: str, detail: dict[str, Any]) -> str:
    context, value = detail.get("ctx", {}), detail["input"]
    if kind == "extra_forbidden":
        return f"unknown key; {did_you_mean(str(where[-1]), _model(where[:-1]).model_fields)}"
    if kind == "missing":
        return f"missing: {_field(where).description}"
    if kind == "literal_error":
        return f"{_shown(value)} is not known; {did_you_mean(str(value), _choices(where))}"
    if kind == "string_pattern_mismatch":
        return f"{_shown(value)} does not fit: {_field(where).description}"
    if kind in BOUNDS:
        limits = {name: _shown(limit) for name, limit in context.items()}
        hint = ": a fraction, or percent such as '0.5%'" if kind == "less_than_equal" and _is_fraction(where) else ""
        return f"{BOUNDS[kind].format(**limits)}, not {_shown(value)}{hint}"
    if kind in EXPECTED:
        keys = f" with the keys {', '.join(_model(where).model_fields)}" if kind.startswith("model_") else ""
        return f"expected {EXPECTED[kind]}{keys}, not {_shown(value)}"
    if kind == "value_error":
        return str(context["error"])
    return detail["msg"]


def _shown(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else f"{value:.15g}" if isinstance(value, float) else str(value)
    text = {"None": "null", "True": "true", "False": "false"}.get(text, text)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _field(where: Where) -> FieldInfo:
    return _model(where[:-1]).model_fields[where[-1]]


def _is_fraction(where: Where) -> bool:
    hint = _field(where).rebuild_annotation()
    return Fraction in (hint, *get_args(hint))


def _choices(where: Where) -> list[str]:
    return [str(choice) for choice in get_args(_bare(_field(where).annotation))]


def _model(where: Where) -> type[BaseModel]:
    """The model that stands at ``where``: keys are fields of models, indices enter ``tuple[Model, ...]``."""
    found: Any = Recipe
    for key in where:
        found = get_args(found)[0] if isinstance(key, int) else _bare(found.model_fields[key].annotation)
    return found


def _bare(hint: Any) -> Any:
    """``X`` of ``X | None``."""
    options = [option for option in get_args(hint) if option is not NoneType]
    return options[0] if NoneType in get_args(hint) and len(options) == 1 else hint
