"""One tensor of a request: from JSON values or little-endian bytes to an array, believing neither.

Sizes are compared before anything is allocated, and a number goes into an element only when the element can hold it.
"""

from __future__ import annotations

import math
import sys
from itertools import chain

import numpy as np

from edge_runtime import limits
from edge_runtime.errors import RequestError, RequestTooLargeError


def checked_shape(name: str, shape: object) -> tuple[int, ...]:
    """The shape that a request states, as sizes of at least 1. Raises RequestError."""
    if type(shape) is not list or not 0 < len(shape) <= limits.AXES:
        raise RequestError(f"input {name!r}: 'shape' must be a list of 1 to {limits.AXES} sizes")
    for size in shape:
        if type(size) is not int or size < 1:
            raise RequestError(f"input {name!r}: 'shape' must hold whole numbers of at least 1, not {size!r:.40}")
    return tuple(shape)


def from_bytes(name: str, content: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """The array in ``content``: row by row, little-endian. A view of it where the processor can read it in place.

    Raises RequestError when the length is not that of the shape, or a BOOL is neither 0 nor 1.
    """
    needed = math.prod(shape) * dtype.itemsize
    if len(content) != needed:
        raise RequestError(f"input {name!r}: shape {list(shape)} needs {needed} bytes, and has {len(content)}")
    if dtype.kind == "b":
        if np.frombuffer(content, np.uint8).max() > 1:
            raise RequestError(f"input {name!r}: a BOOL is a byte of 0 or 1")
        return np.frombuffer(content, dtype).reshape(shape)
    array = np.frombuffer(content, dtype).reshape(shape)
    if sys.byteorder == "big":
        return array.byteswap()
    return array if array.flags.aligned else array.copy()


def from_json(name: str, data: object, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """The array of the numbers in ``data``: one flat list, or lists in lists as the shape has it.

    Raises RequestError when the lists are not of that shape, or a value is not one that the type can hold.
    """
    if type(data) is not list:
        raise RequestError(f"input {name!r}: 'data' must be a list of numbers")
    values = _flat(name, data, shape)
    needed = math.prod(shape)
    if len(values) != needed:
        raise RequestError(f"input {name!r}: shape {list(shape)} needs {needed} numbers, and 'data' has {len(values)}")
    kinds = set(map(type, values))
    allowed = {"b": {bool}, "f": {int, float}}.get(dtype.kind, {int})
    if not kinds <= allowed:
        words = {"b": "true and false", "f": "numbers"}.get(dtype.kind, "whole numbers")
        raise RequestError(f"input {name!r}: 'data' must hold {words}")
    try:
        return _cast(values, dtype).reshape(shape)
    except OverflowError:
        raise RequestError(f"input {name!r}: 'data' holds a number too large for {dtype.name}") from None


def _flat(name: str, data: list, shape: tuple[int, ...]) -> list:
    values, axis = data, 0
    while values and type(values[0]) is list:
        axis += 1
        if (
            axis >= len(shape)
            or len(values) != math.prod(shape[:axis])
            or set(map(type, values)) != {list}
            or set(map(len, values)) != {shape[axis]}
        ):
            raise RequestError(
                f"input {name!r}: the lists in 'data' are not nested as shape {list(shape)}; send one list"
            )
        values = list(chain.from_iterable(values))
    return values


def _cast(values: list, dtype: np.dtype) -> np.ndarray:
    """Raises OverflowError when the type cannot hold a value."""
    if dtype.kind == "b":
        return np.array(values, dtype)
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            array = np.array(values, np.float64).astype(dtype)
        if not np.isfinite(array).all():
            raise OverflowError
        return array
    if dtype == np.uint64:
        if min(values) < 0:
            raise OverflowError
        return np.array(values, dtype)
    if dtype == np.uint8:  # pixels, which come by the thousand: a tenth of the time of the way below
        try:
            return np.frombuffer(bytearray(values), np.uint8)
        except ValueError:
            raise OverflowError from None
    wide = np.array(values, np.int64)
    bounds = np.iinfo(dtype)
    if wide.min() < bounds.min or wide.max() > bounds.max:
        raise OverflowError
    return wide.astype(dtype)


def check_size(name: str, needed: int, most: int, what: str) -> None:
    """Raises RequestTooLargeError."""
    if needed > most:
        raise RequestTooLargeError(f"input {name!r}: {needed} {what}, and at most {most} are taken; send less at once")
