"""Pictures: decoded by Pillow, turned upright, made grey or RGB, and resized; pixel values 0 to 255, as they are.

These are the pixels that the model was trained and evaluated on: ``compress`` reads pictures in the same steps.
Bilinear resizing is Pillow's, which averages over what a pixel covers when it makes a picture smaller; other libraries'
"bilinear" does not, and gives other pixels. Pillow 12 and 13 round some pictures differently, by one of 255 levels.
"""

from __future__ import annotations

import io
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_runtime import limits
from edge_runtime.errors import ExtraMissingError, ImageError, InputError, InputTooLargeError, ManifestError
from edge_runtime.preprocess import tensor

if TYPE_CHECKING:
    from edge_runtime.bundle.contents import Contents
    from edge_runtime.preprocess import Prepare

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "PPM", "TIFF")
"""The only decoders that see bytes from outside. Pillow has many more, one of which starts another program."""

MODES = {1: "L", 3: "RGB"}
START_OF_SCAN = b"\xff\xda"
ORIENTATION = 0x0112
"""The tag in EXIF: 1 as it is, 2 to 8 mirrored or turned (CIPA DC-008, 4.6.4)."""


def make(contents: Contents) -> Prepare:
    """Prepares pictures: a file's bytes, or pixels (C, H, W) as an array, a nested list, that list's JSON in bytes, or
    the bytes of a ``.npy``."""
    manifest, wanted = contents.manifest, contents.manifest.inputs[0]
    (height, width), channels = manifest.preprocess["size"], manifest.preprocess["channels"]
    sizes = (channels, height, width)
    if len(wanted.shape) != 4 or any(b not in (None, a) for a, b in zip(sizes, wanted.shape[1:], strict=True)):
        raise ManifestError(f"{manifest.name}: pictures become {sizes}, and the model takes {wanted.shape[1:]}")
    if not np.can_cast(np.uint8, wanted.dtype):
        raise ManifestError(f"{manifest.name}: pixels are 0 to 255, which {wanted.dtype} cannot hold")
    pillow()

    def prepare(item: Any) -> np.ndarray:
        if isinstance(item, str):
            raise InputError("this model takes pictures: give the bytes of a file, or pixels as a nested list")
        if isinstance(item, (bytes, bytearray, memoryview)) and not bytes(item[:6]).startswith((tensor.NPY, b"[")):
            pixels = decode(bytes(item), size=(height, width), channels=channels)
            return pixels[None].astype(wanted.dtype, copy=False)
        return tensor.sample(item, wanted)

    return prepare


def decode(data: bytes, *, size: tuple[int, int] | None, channels: int) -> np.ndarray:
    """(C, H, W) uint8 of a picture's file; ``size`` is (H, W), None keeps the picture's own.

    Raises ImageError for what is no readable picture, InputTooLargeError before a picture too large is decoded.
    """
    if len(data) > limits.INPUT_BYTES:
        raise InputTooLargeError(
            f"a picture's file may have {limits.INPUT_BYTES} bytes, got {len(data)}; make it smaller"
        )
    image = pillow()
    try:
        with image.open(io.BytesIO(data), formats=FORMATS) as picture:
            if picture.width * picture.height > limits.IMAGE_PIXELS:
                raise _too_large(f"this one is {picture.width} x {picture.height}")
            # In a JPEG file these bytes stand nowhere but before a scan.
            if picture.format in ("JPEG", "MPO") and (scans := data.count(START_OF_SCAN)) > limits.JPEG_SCANS:
                raise InputTooLargeError(f"a JPEG may have {limits.JPEG_SCANS} scans, got {scans}; save it again")
            picture.load()
            return _pixels(picture, image, size, channels)
    except InputError:
        raise
    except (image.DecompressionBombError, image.DecompressionBombWarning) as error:
        raise _too_large(str(error)) from None
    except image.UnidentifiedImageError:
        raise ImageError(f"not a picture of a known kind; send {', '.join(FORMATS)}") from None
    except Exception as error:  # a damaged file makes Pillow's decoders fail in every way that Python has
        raise ImageError(f"a damaged picture: {error}; save it again") from None


def _pixels(picture: Any, image: ModuleType, size: tuple[int, int] | None, channels: int) -> np.ndarray:
    if picture.mode == "F" or picture.mode.startswith("I"):
        raise ImageError(f"more than 8 bits a pixel (mode {picture.mode}); convert the picture to 8 bits first")
    picture = upright(picture).convert(MODES[channels])
    if size is not None and picture.size != (size[1], size[0]):
        picture = picture.resize((size[1], size[0]), image.Resampling.BILINEAR)
    array = np.asarray(picture, np.uint8)
    return np.ascontiguousarray(array[None] if channels == 1 else array.transpose(2, 0, 1))


def upright(picture: Any) -> Any:
    """The picture turned or mirrored as its EXIF orientation says: a camera held sideways leaves that to the reader.

    EXIF that cannot be read, which is common, says nothing. (``ImageOps.exif_transpose`` also writes all of it anew,
    and fails on what it cannot write.)
    """
    image = pillow()
    try:
        orientation = picture.getexif().get(ORIENTATION)
    except Exception:  # Pillow fails in many ways on damaged EXIF, and the picture is no worse for it
        return picture
    turns = image.Transpose
    methods = (
        None, turns.FLIP_LEFT_RIGHT, turns.ROTATE_180, turns.FLIP_TOP_BOTTOM,
        turns.TRANSPOSE, turns.ROTATE_270, turns.TRANSVERSE, turns.ROTATE_90,
    )  # fmt: skip
    if type(orientation) is not int or not 2 <= orientation <= len(methods):
        return picture
    return picture.transpose(methods[orientation - 1])


def pillow() -> ModuleType:
    """``PIL.Image``. Raises ExtraMissingError."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ExtraMissingError(
            f"pictures need Pillow, which does not load ({error}): python -m pip install 'edge-runtime[image]'"
        ) from None
    return Image


def _too_large(what: str) -> InputTooLargeError:
    return InputTooLargeError(f"a picture may have {limits.IMAGE_PIXELS} pixels: {what}; make it smaller")
