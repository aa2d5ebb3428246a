"""Arrays as they are: numpy's, nested lists, JSON text, or the bytes of a ``.npy`` file.

Nothing is converted silently: a value that the model's dtype cannot hold is refused, and so is a size that differs.
"""

from __future__ import annotations

import json
import math
from itertools import chain
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from edge_runtime import limits
from edge_runtime.bundle import npy
from edge_runtime.errors import InputError, InputTooLargeError

if TYPE_CHECKING:
    from edge_runtime.bundle.contents import Contents
    from edge_runtime.bundle.manifest import Tensor
    from edge_runtime.preprocess import Prepare

NPY = b"\x93NUMPY"
"""How every ``.npy`` file begins."""


def make(contents: Contents) -> Prepare:
    """Prepares the samples of a model that takes arrays."""
    tensor = contents.manifest.inputs[0]
    return lambda item: sample(item, tensor)


def sample(item: Any, tensor: Tensor) -> np.ndarray:
    """One sample (1, ...) of the tensor's dtype and shape, from an array, a nested list, JSON, or a ``.npy`` in bytes.

    The first axis may be left out. Raises InputError.
    """
    if isinstance(item, (bytes, bytearray, memoryview)):
        item = bytes(item)
        item = _npy(item) if item.startswith(NPY) else _json(item, tensor)
    elif isinstance(item, str):
        item = _json(item, tensor)
    if type(item) is list and tensor.dtype == "uint8" and (pixels := _pixels(item, tensor.shape[1:])) is not None:
        return pixels
    array = item if isinstance(item, np.ndarray) else _array(item)
    sizes = tensor.shape[1:]
    if array.ndim == len(sizes):
        array = array[None]
    if array.ndim != len(tensor.shape) or array.shape[0] != 1 or not _fits(array.shape[1:], sizes):
        wanted = ", ".join("any" if size is None else str(size) for size in sizes)
        raise InputError(f"input {tensor.name!r} takes one sample of shape ({wanted}), got {array.shape}")
    return _as(array, np.dtype(tensor.dtype), tensor.name)


def _pixels(item: list[Any], sizes: tuple[int | None, ...]) -> np.ndarray | None:
    """A nested list of 0 to 255 in just the right shape, in a third of the time of ``_array``; None for any other."""
    values, shape = item, [len(item)]
    while values and type(values[0]) is list:
        if set(map(type, values)) != {list} or set(map(len, values)) != {len(values[0])}:
            return None
        shape.append(len(values[0]))
        values = list(chain.from_iterable(values))
    if tuple(shape) not in (sizes, (1, *sizes)):
        return None
    try:
        return np.frombuffer(bytearray(values), np.uint8).reshape(1, *sizes)
    except (TypeError, ValueError):  # not whole numbers, or too large: which, is told by the long way
        return None


def _fits(shape: tuple[int, ...], sizes: tuple[int | None, ...]) -> bool:
    return all((size is None and have > 0) or size == have for have, size in zip(shape, sizes, strict=True))


def _as(array: np.ndarray, dtype: np.dtype, name: str) -> np.ndarray:
    """The array in ``dtype``, contiguous, if that changes no value but for the rounding of floats."""
    if array.dtype.kind not in "biuf":
        raise InputError(f"input {name!r} takes numbers, got {array.dtype}")
    if dtype.kind != "f" and array.dtype.kind == "f":
        whole = np.isfinite(array) & (array == np.floor(array))
        if not whole.all():
            _not_held(array[~whole].flat[0], dtype, name)
    if dtype.kind in "iu" and array.size:
        # As Python's numbers, which compare exactly whatever the two types are.
        least, most = int(array.min()), int(array.max())
        bounds = np.iinfo(dtype)
        if least < bounds.min or most > bounds.max:
            _not_held(least if least < bounds.min else most, dtype, name)
    if dtype.kind == "b" and not np.isin(array, (0, 1)).all():
        _not_held(array[~np.isin(array, (0, 1))].flat[0], dtype, name)
    with np.errstate(over="ignore"):  # told below
        result = np.ascontiguousarray(array, dtype)
    if dtype.kind == "f" and not np.isfinite(result).all():
        _not_held(array[~np.isfinite(result)].flat[0], dtype, name)
    return result


def _not_held(value: Any, dtype: np.dtype, name: str) -> NoReturn:
    raise InputError(f"input {name!r} is {dtype}, which cannot hold {value}; send values that it can")


def _array(item: Any) -> np.ndarray:
    """A nested list as an array. As objects: with a text among them numpy would take memory for the longest, each."""
    objects = np.asarray(item, dtype=object)
    if objects.ndim > limits.AXES:  # numpy makes arrays of 64 axes, and fails to walk through more than 32
        raise InputError(f"lists in lists, {objects.ndim} deep or more; an array has at most {limits.AXES} axes")
    kinds = set(map(type, objects.flat))
    if list in kinds or tuple in kinds:
        raise InputError("not an array: its rows differ in length, or nest too deep; send a rectangular nested list")
    if strange := kinds - {bool, int, float}:
        names = ", ".join(sorted(kind.__name__ for kind in strange))
        raise InputError(f"not an array of numbers: it holds {names}; send a nested list of numbers, or a .npy file")
    try:
        return objects.astype(np.float64 if float in kinds else np.int64 if int in kinds else np.bool_)
    except OverflowError:
        raise InputError("a whole number in it does not fit 64 bits; send values that the model can hold") from None


def _json(text: bytes | str, tensor: Tensor) -> Any:
    fixed = [size for size in tensor.shape[1:] if size is not None]
    # A list costs twenty times its text, so no more text is parsed than the model's sample may take.
    most = limits.JSON_BYTES_A_NUMBER * (16 + math.prod(fixed)) if len(fixed) == len(tensor.shape) - 1 else math.inf
    if len(text) > min(most, limits.INPUT_BYTES):
        raise InputTooLargeError(
            f"{len(text)} bytes of JSON are more than input {tensor.name!r} needs; send one of {tensor.shape[1:]}"
        )
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(f"neither JSON nor a .npy file: {error}; send a nested list of numbers") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _npy(data: bytes) -> np.ndarray:
    """The array in a ``.npy`` file, read as a bundle's are: nothing of it is evaluated, and no size believed."""
    if len(data) > limits.INPUT_BYTES:
        raise InputTooLargeError(f"an input may have {limits.INPUT_BYTES} bytes, got {len(data)}; make it smaller")
    try:
        return npy.load(data, any_order=True)
    except ValueError as error:
        raise InputError(f"not a .npy file that can be read: {error}; save an array with numpy.save") from None
