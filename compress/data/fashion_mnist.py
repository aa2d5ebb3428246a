"""Fashion-MNIST (Xiao et al., 2017, arXiv:1708.07747; MIT licence): 10 kinds of clothes, 28x28 grey pixels.

60,000 training and 10,000 test pictures, read from Debian's package ``dataset-fashion-mnist`` when it is installed,
else from the Hugging Face hub.
"""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path

import numpy as np

from compress.data.dataset import Dataset, Split, carve
from compress.errors import DataError

CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
LICENCE = "MIT"
HUB_ID = "zalando-datasets/fashion_mnist"
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")


def load(*, path: Path | None = None, validation: int = 4000, calibration: int = 1000, seed: int = 0) -> Dataset:
    """Load the four splits: test is the published one, the others are carved from the published training set.

    ``path``: a folder with the four ``*-ubyte.gz`` files; by default ``$FASHION_MNIST``, Debian's folder, then the hub.
    """
    folder = path or Path(os.environ.get("FASHION_MNIST", DEBIAN_FOLDER))
    if (folder / "train-images-idx3-ubyte.gz").is_file():
        train = _split(folder, "train")
        test = _split(folder, "t10k")
    elif path is not None:
        raise DataError(f"{path}: no train-images-idx3-ubyte.gz there; give the folder that holds the four idx files")
    else:
        train, test = _from_hub()
    fit, calib, valid = carve(train, validation=validation, calibration=calibration, seed=seed)
    return Dataset("fashion-mnist", fit, calib, valid, test, CLASSES, LICENCE)


def _split(folder: Path, prefix: str) -> Split:
    images = _idx(folder / f"{prefix}-images-idx3-ubyte.gz")
    labels = _idx(folder / f"{prefix}-labels-idx1-ubyte.gz")
    return Split(images[:, None], labels.astype(np.int64))


def _idx(path: Path) -> np.ndarray:
    """Read an idx file: two zero bytes, type 8 (uint8), the number of axes, their sizes (big-endian), the bytes."""
    try:
        raw = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); download the four files again") from error
    if raw[:3] != b"\0\0\x08":
        raise DataError(f"{path}: not an idx file of unsigned bytes")
    axes = raw[3]
    shape = np.frombuffer(raw, ">i4", axes, 4)
    values = np.frombuffer(raw, np.uint8, offset=4 + 4 * axes)
    if len(values) != shape.prod():
        raise DataError(f"{path}: {len(values)} bytes where its header promises {shape.prod()}; download it again")
    return values.reshape(shape).copy()  # writable, as torch wants it


def _from_hub() -> tuple[Split, Split]:
    try:
        from datasets import load_dataset

        hub = load_dataset(HUB_ID)
    except Exception as error:
        raise DataError(
            "Fashion-MNIST is not on this machine: install it (apt-get install dataset-fashion-mnist), point "
            f"$FASHION_MNIST at its folder, or let the hub be reached ({HUB_ID}: {error})"
        ) from error
    return tuple(
        Split(np.stack([np.asarray(i, np.uint8) for i in part["image"]])[:, None], np.asarray(part["label"], np.int64))
        for part in (hub["train"], hub["test"])
    )
