"""Image files to uint8 arrays, the same way for every source that reads them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from compress.errors import DataError
from edge_runtime.preprocess.image import upright

MODES = {1: "L", 3: "RGB"}
# What Pillow raises for files that are no pictures, are cut short or claim absurd sizes.
_BROKEN = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)


def check_options(size: Sequence[int] | None, channels: int) -> None:
    """Raise :class:`DataError` unless ``size`` is [H, W] (or None) and ``channels`` is 1 or 3."""
    if channels not in MODES:
        raise DataError(f"data.options.channels is {channels!r}: use 1 (grey) or 3 (red, green, blue)")
    if size is not None and (len(size) != 2 or not all(isinstance(s, int) and s > 0 for s in size)):
        raise DataError(f"data.options.size is {size!r}: give [height, width] in pixels")


def read(file: Path | bytes, where: str, size: Sequence[int] | None, channels: int) -> np.ndarray:
    """Decode one picture into (C, H, W) uint8; ``where`` names it in errors."""
    if not (len(file) if isinstance(file, bytes) else file.stat().st_size):
        raise DataError(f"{where}: the file is empty (0 bytes); remove it or restore it")
    try:
        with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as image:
            image.load()
            return pixels(upright(image), where, size, channels)
    except _BROKEN as error:
        raise DataError(f"{where}: not a readable picture ({error}); remove it or restore it") from error


def pixels(image: Image.Image, where: str, size: Sequence[int] | None, channels: int) -> np.ndarray:
    """(C, H, W) uint8 of a decoded picture, resized to ``size`` (bilinear with antialiasing; proportions not kept)."""
    if image.mode == "F" or image.mode.startswith("I"):
        raise DataError(f"{where}: more than 8 bits a pixel (mode {image.mode}); convert the pictures to 8 bits first")
    image = image.convert(MODES[channels])
    if size is not None and image.size != (size[1], size[0]):
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    array = np.asarray(image, np.uint8)
    return np.ascontiguousarray(array[None] if channels == 1 else array.transpose(2, 0, 1))


def stack(arrays: Sequence[np.ndarray], names: Sequence[str], where: str) -> np.ndarray:
    """(N, C, H, W) of pictures that must all have one size; raises :class:`DataError` naming the first that differs."""
    for array, name in zip(arrays, names, strict=True):
        if array.shape != arrays[0].shape:
            (_, h, w), (_, h0, w0) = array.shape, arrays[0].shape
            raise DataError(
                f"{where}: {name} is {h}x{w} pixels but {names[0]} is {h0}x{w0}; "
                "set options: {size: [height, width]} to resize all of them"
            )
    return np.stack(arrays)
