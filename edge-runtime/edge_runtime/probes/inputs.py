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
    if file is not None:
        return _real(specs, batch, file)
    random = np.random.default_rng(seed)
    assumed: dict[str, int] = {}
    shapes = {spec.name: _shape(spec, batch, axes, assumed, _batch_names(specs)) for spec in specs}
    arrays = {spec.name: _draw(spec, shapes[spec.name], random) for spec in specs}
    return Inputs([arrays], f"random (seed {seed})", assumed)


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
        return random.integers(low, high, shape).astype(dtype)
    if kind == "f":
        return random.standard_normal(shape).astype(dtype)
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
