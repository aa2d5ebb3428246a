"""Cheap numbers that say what an input looks like, so that a change in the camera, the light or the sender shows.

A picture (N, C, H, W) gives for each channel its brightness (mean), contrast (standard deviation), three quantiles and
sharpness (mean absolute step from one pixel to the next: falls with blur, rises with noise). A short row of numbers
(N, columns) is described by the columns themselves; whole numbers of any length (token ids) and everything else by the
same statistics over the whole sample. Some 10 microseconds for a picture of 28 x 28, under a millisecond for one of
224 x 224: quantiles are taken over a regular grid of at most 1,024 values a channel.
"""

from __future__ import annotations

import numpy as np

QUANTILES = (0.05, 0.5, 0.95)
GRID = 1024
"""Values of a channel that quantiles are taken over, at most."""
CHANNELS = 8
"""Channels that are described one by one; where there are more, the sample is described as a whole."""
COLUMNS = 32
"""A row of at most this many floats is described by its values."""
HUGE = 1e30
"""What stands in for infinite and (negative) for not-a-number: beyond every edge, and still finite in sums."""


def names(shape: tuple[int, ...], dtype: np.dtype) -> list[str]:
    """The features of inputs of this shape (with the batch axis) and dtype; empty where there are none (strings)."""
    kind = _kind(shape, np.dtype(dtype))
    if kind == "columns":
        return [f"column {index}" for index in range(shape[1])]
    per_group = ["mean", "standard deviation", *(f"quantile {q:g}" for q in QUANTILES), "sharpness"]
    if kind == "channels":
        return [f"{name} of channel {channel}" for channel in range(shape[1]) for name in per_group]
    return per_group if kind == "whole" else []


def describe(inputs: np.ndarray) -> np.ndarray:
    """(N, features) float32 for inputs (N, ...), in the order of :func:`names`."""
    count = len(inputs)
    kind = _kind(inputs.shape, inputs.dtype)
    if kind is None or count == 0:
        return np.zeros((count, len(names(inputs.shape, inputs.dtype))), np.float32)
    if kind == "columns":
        return _floats(inputs)
    # (N, groups, rows, columns): a step to the next pixel never leaves its row.
    pixels = inputs if kind == "channels" else inputs.reshape(count, 1, 1, -1)
    if pixels.dtype != np.uint8:
        pixels = _floats(pixels)
    flat = pixels.reshape(count, pixels.shape[1], -1)
    # Means of float32 over many pixels lose digits; these sums are exact enough on every machine.
    mean = flat.mean(axis=2, dtype=np.float64)
    deviation = np.sqrt(np.maximum(np.square(flat, dtype=np.float64).mean(axis=2) - mean**2, 0))
    grid = np.sort(flat[:, :, :: -(-flat.shape[2] // GRID)], axis=2)
    at = [round(q * (grid.shape[2] - 1)) for q in QUANTILES]
    if pixels.shape[3] > 1:
        left, right = pixels[..., :-1], pixels[..., 1:]
        steps = np.maximum(left, right) - np.minimum(left, right)  # absolute difference, without leaving uint8
        sharpness = steps.reshape(count, pixels.shape[1], -1).mean(axis=2, dtype=np.float64)
    else:
        sharpness = np.zeros_like(mean)
    groups = np.stack([mean, deviation, *(grid[:, :, index] for index in at), sharpness], axis=2)
    return finite(groups.reshape(count, -1).astype(np.float32))


def finite(values: np.ndarray) -> np.ndarray:
    """The same with nothing infinite or undefined in it, and nothing whose square overflows a float64."""
    return np.clip(np.nan_to_num(values, nan=-HUGE, posinf=HUGE, neginf=-HUGE), -HUGE, HUGE)


def _floats(values: np.ndarray) -> np.ndarray:
    """Finite float32; what float32 cannot hold is cut first."""
    return finite(values).astype(np.float32) if values.dtype == np.float64 else finite(values.astype(np.float32))


def _kind(shape: tuple[int, ...], dtype: np.dtype) -> str | None:
    if dtype.kind not in "fiub" or len(shape) < 2 or 0 in shape[1:]:
        return None
    if len(shape) == 4 and shape[1] <= CHANNELS:
        return "channels"
    if len(shape) == 2 and dtype.kind == "f" and shape[1] <= COLUMNS:
        return "columns"
    return "whole"
