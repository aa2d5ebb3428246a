"""Frozen dataclasses to JSON and back, strictly: what a person may read years later must not have been guessed.

An unknown field, a missing one, a number that is none and a value that JSON cannot hold are errors that name the place.
"""

from __future__ import annotations

import json
import math
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, ClassVar, TypeVar

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError

from compress.errors import CompressError

T = TypeVar("T")


class ResultsError(CompressError):
    """A results file cannot be read or written: another version, a damaged file, or a value JSON cannot hold."""


class Strict:
    """An unknown field, or a number that is none, is an error when read: a typo must not pass for an absent value."""

    __slots__ = ()
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)


def dump(value: Any, schema: str, name: str) -> str:
    """Indented JSON that says its ``schema``. Raises :class:`ResultsError` naming the place of a value JSON cannot
    hold, which begins with ``name``."""
    document = {"schema": schema, **plain(value, name)}
    return json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def load(text: str, kind: type[T], schema: str, name: str, again: str) -> T:
    """The ``kind`` in ``text``. ``name``: what the file is called; ``again``: how to get another one.

    Raises :class:`ResultsError` on another schema version or a malformed file.
    """
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise ResultsError(f"this is no {name} file: not JSON at line {error.lineno}: {error.msg}") from error
    found = document.pop("schema", None) if isinstance(document, dict) else None
    if found != schema:
        raise ResultsError(
            f"this file's schema is {found!r}, and this program reads {schema!r}: "
            f"open it with the version of compress that wrote it, or {again}"
        )
    try:
        return _adapter(kind).validate_python(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ResultsError(f"the {name} file is malformed at {where}: {first['msg']}") from error


def plain(value: Any, where: str) -> Any:
    """``value`` as JSON values only; numpy scalars and arrays become numbers and lists."""
    if is_dataclass(value):
        return {f.name: plain(getattr(value, f.name), f"{where}.{f.name}") for f in fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise ResultsError(f"{where} is {value}: a quantity that was not measured must be None, never NaN or infinite")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ResultsError(
        f"{where} is a {type(value).__name__}, which JSON cannot hold: give numbers, text, lists or dicts"
    )


@cache
def _adapter(kind: type[T]) -> TypeAdapter[T]:
    return TypeAdapter(kind)
