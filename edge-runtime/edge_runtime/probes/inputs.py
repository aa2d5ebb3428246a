"""What a model is fed while it is measured: random arrays of its own types and shapes, or rows of a user's file.

Random arrays are drawn by a seed: uint8 from 0 to 255, int8 from -128 to 127, other integers from 0 to 99 (token ids
that every vocabulary has), floats standard normal. An integer or bool input with ``mask`` in its name is all ones, one
with ``token_type`` or ``segment`` all zeros. They are the same for every call.

Sizes that the model leaves open: the first axis is the batch, and so is any axis of the first one's name. Others have
the size that ``axes`` gives, by the axis' name, or by ``INPUT.POSITION`` where it has none (``input.2``). What it does
not give is assumed, and told: 128 for a sequence, 3 channels, 224 for a side of a picture.

A file of real inputs is an ``.npz`` with one array per input, by its name, whose rows are samples. Calls go through
them in turn, and begin anew after the last whole batch.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edge_runtime.errors import InputError
from edge_runtime.sessions.base import TensorSpec

TOKENS = 100
"""Token ids are drawn below this."""
SEQUENCE, CHANNELS, SIDE = 128, 3, 224
"""Assumed sizes."""
PICTURE_WORDS = ("height", "width")
CHANNEL_WORDS = ("channel",)
MOST_BYTES = 64 * 1024**2
"""Of real inputs that are kept ready; further rows are not used, and that is told."""
DRAWN = 2**20
"""Values drawn at once where they are to become smaller ones."""

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Inputs:
    """``calls``: the arrays of one call after the other, to be gone through in turn; ``source`` in words; ``assumed``:
    sizes that neither the model nor the plan gives, by axis."""

    calls: list[Arrays]
    source: str
    assumed: dict[str, int] = field(default_factory=dict)


def fixed_batch(specs: Sequence[TensorSpec]) -> int | None:
    """How many samples a call must have: the fixed first axis of the first input that has two axes or more; one, where
    no input has; None where it is free."""
    first = next((spec for spec in specs if len(spec.shape) >= 2), None)
    if first is None:
        return None if any(spec.shape and not isinstance(spec.shape[0], int) for spec in specs) else 1
    return first.shape[0] if isinstance(first.shape[0], int) else None


def make(
    specs: Sequence[TensorSpec], batch: int, *, axes: Mapping[str, int], seed: int, file: Path | None = None
) -> Inputs:
    """Inputs of calls of ``batch`` samples. Raises InputError naming the input that cannot be fed."""
    _refuse_empty(specs)
    if file is not None:
        return _real(specs, batch, file)
    assumed: dict[str, int] = {}
    shapes = [_shape(spec, batch, axes, assumed, _batch_names(specs)) for spec in specs]
    return _random(specs, shapes, seed, assumed)


def alike(specs: Sequence[TensorSpec], shape: tuple[int, ...], dtype: str, *, seed: int) -> Inputs:
    """Random inputs that all have one shape and type, whether or not the model takes them. Raises InputError."""
    try:
        name = np.dtype(dtype).name
    except TypeError as error:
        raise InputError(f"there are no arrays of type {dtype!r}: {error}") from None
    return _random([TensorSpec(spec.name, name, shape) for spec in specs], [shape] * len(specs), seed, {})


def _random(
    specs: Sequence[TensorSpec], shapes: Sequence[tuple[int, ...]], seed: int, assumed: dict[str, int]
) -> Inputs:
    sizes = [math.prod(shape) * _item_bytes(spec) for spec, shape in zip(specs, shapes, strict=True)]
    free = _free_memory()
    if free is not None and sum(sizes) > free:
        raise _too_large(specs, shapes, sizes, f"and {free / 1e9:.3g} GB of memory are free")
    random = np.random.default_rng(seed)
    try:
        arrays = {spec.name: _draw(spec, shape, random) for spec, shape in zip(specs, shapes, strict=True)}
    except MemoryError:
        raise _too_large(specs, shapes, sizes, "which there is not enough memory for") from None
    return Inputs([arrays], f"random (seed {seed})", assumed)


def _too_large(
    specs: Sequence[TensorSpec], shapes: Sequence[tuple[int, ...]], sizes: Sequence[int], why: str
) -> InputError:
    size, spec, shape = max(zip(sizes, specs, shapes, strict=True), key=lambda found: found[0])
    called = [str(axis or f"{spec.name}.{at}") for at, axis in enumerate(spec.shape) if not isinstance(axis, int)]
    hint = f"; its open axes are {', '.join(called)}: give smaller sizes (--axis NAME=SIZE), or a smaller batch"
    return InputError(
        f"input {spec.name!r} of shape {shape} would take {size / 1e9:.3g} GB, {why}{hint if called else ''}"
    )


def _item_bytes(spec: TensorSpec) -> int:
    try:
        return np.dtype(spec.dtype).itemsize
    except TypeError:
        return 1  # it is refused when it is drawn


def _free_memory() -> int | None:
    """Bytes that can be had without swapping, as the kernel estimates them; None where it does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None


def _refuse_empty(specs: Sequence[TensorSpec]) -> None:
    """A call without a sample, or without any value, computes nothing that could be measured."""
    empty = [spec for spec in specs if 0 in spec.shape]
    if empty and (fixed_batch(specs) == 0 or len(empty) == len(specs)):
        raise InputError(
            f"input {empty[0]} holds no values, for an axis of it is fixed at 0: there is nothing to measure; export "
            "the model with another size, or with that axis open"
        )


def _batch_names(specs: Sequence[TensorSpec]) -> set[str]:
    return {spec.shape[0] for spec in specs if spec.shape and isinstance(spec.shape[0], str)}


def _shape(
    spec: TensorSpec, batch: int, axes: Mapping[str, int], assumed: dict[str, int], batches: set[str]
) -> tuple[int, ...]:
    sizes = []
    for position, axis in enumerate(spec.shape):
        name = axis if isinstance(axis, str) else f"{spec.name}.{position}"
        if isinstance(axis, int):
            sizes.append(axis)
        elif name in axes:
            sizes.append(axes[name])
        elif position == 0 or axis in batches:
            sizes.append(batch)
        else:
            sizes.append(assumed.setdefault(name, _assumed(spec, position, name.lower())))
    return tuple(sizes)


def _assumed(spec: TensorSpec, position: int, name: str) -> int:
    if any(word in name for word in PICTURE_WORDS):
        return SIDE
    if any(word in name for word in CHANNEL_WORDS):
        return CHANNELS
    if len(spec.shape) == 4 and not any(word in name for word in ("seq", "len", "time", "token")):
        channels_last = spec.shape[3] in (1, 3, 4)
        return CHANNELS if position == (3 if channels_last else 1) else SIDE
    return SEQUENCE


def _draw(spec: TensorSpec, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    try:
        dtype = np.dtype(spec.dtype)
    except TypeError:
        dtype = None
    kind = dtype.kind if dtype is not None else "?"
    name = spec.name.lower()
    if kind in "biu" and "mask" in name:
        return np.ones(shape, dtype)
    if kind in "iu" and ("token_type" in name or "segment" in name):
        return np.zeros(shape, dtype)
    if kind == "b":
        return np.ones(shape, dtype)
    if kind in "iu":
        low, high = (np.iinfo(dtype).min, np.iinfo(dtype).max + 1) if dtype.itemsize == 1 else (0, TOKENS)
        return random.integers(low, high, shape, dtype)
    if kind == "f" and dtype.itemsize in (4, 8):
        return random.standard_normal(shape, dtype)
    if kind == "f":
        array = np.empty(shape, dtype)
        flat = array.reshape(-1)
        for start in range(0, flat.size, DRAWN):  # in parts: there is no such distribution, only a larger one
            part = flat[start : start + DRAWN]
            part[:] = random.standard_normal(part.size, np.float32)
        return array
    raise InputError(f"random values cannot be made for input {spec}; give real ones in an .npz")


def _real(specs: Sequence[TensorSpec], batch: int, file: Path) -> Inputs:
    arrays = _load(specs, file)
    rows = min(len(array) for array in arrays.values())
    if rows < batch:
        raise InputError(f"{file.name} has {rows} rows, and a call takes {batch} samples; give {batch} rows or more")
    a_call = sum(array[:batch].nbytes for array in arrays.values())
    used = max(1, min(rows // batch, MOST_BYTES // max(a_call, 1)))
    calls = [
        {name: np.ascontiguousarray(array[at * batch : (at + 1) * batch]) for name, array in arrays.items()}
        for at in range(used)
    ]
    left = f", the first {used * batch} used" if used * batch < rows else ""
    return Inputs(calls, f"{file.name}, {rows} rows{left}")


def _load(specs: Sequence[TensorSpec], file: Path) -> Arrays:
    names = {spec.name for spec in specs}
    try:
        found = np.load(file, allow_pickle=False)
        if isinstance(found, np.ndarray):
            raise ValueError("it is one array alone; save it under its input's name with np.savez")
        with found:
            if set(found.files) != names:
                raise InputError(
                    f"{file.name} has arrays named {', '.join(map(repr, found.files)) or '(none)'}; the model's inputs "
                    f"are {'; '.join(map(str, specs))}"
                )
            arrays = {name: found[name] for name in found.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{file.name} cannot be read as .npz of plain arrays: {error}") from None
    for spec in specs:
        array = arrays[spec.name]
        sample = TensorSpec(spec.name, spec.dtype, (None, *spec.shape[1:]))
        if not spec.shape or not sample.accepts(array):
            raise InputError(
                f"{file.name}: input {spec}, and its array is {array.dtype} of shape {array.shape}; rows are samples"
            )
    return arrays
