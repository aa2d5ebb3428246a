"""NumPy archives: one ``.npz`` file with ``x_train, y_train, x_test, y_test`` and, if you have them,
``x_validation, y_validation, x_calibration, y_calibration``, ``classes`` (names) and ``licence`` (a string).

Any zip compression is read (zlib from ``np.savez_compressed``, also bzip2 and LZMA). Object arrays are refused: reading
them would run code from the file.
"""

from __future__ import annotations

import lzma
import zipfile
import zlib
from pathlib import Path

import numpy as np

from compress.data.arrays import from_arrays
from compress.data.dataset import Dataset
from compress.errors import DataError


def load(*, path: Path | None, validation: int, calibration: int, seed: int, layout: str | None = None) -> Dataset:
    """Read the archive at ``path``. ``layout``: "NHW", "NHWC" or "NCHW" where the shape does not tell."""
    if path is None:
        raise DataError("data.path is missing: name the .npz file, relative to the recipe")
    if not path.is_file():
        raise DataError(f"{path}: no such file; data.path is relative to the recipe")
    arrays = _read(path)
    classes, licence = arrays.pop("classes", None), arrays.pop("licence", "unknown")
    if classes is not None and (classes.ndim != 1 or classes.dtype.kind != "U"):
        raise DataError(f"{path}: classes is {classes.dtype} {classes.shape}; save np.array([names...]) of str")
    return from_arrays(
        arrays,
        name=path.stem,
        where=str(path),
        validation=validation,
        calibration=calibration,
        seed=seed,
        classes=classes,
        layout=layout,
        licence=str(licence),
    )


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise DataError(f"{path}: one bare array; save all of them with np.savez_compressed(path, x_train=...)")
            return {key: archive[key] for key in archive.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, lzma.LZMAError) as error:
        hint = "save arrays of str, not of dtype=object" if "Object arrays" in str(error) else "is it whole?"
        raise DataError(f"{path}: not a readable .npz archive ({error}); {hint}") from error
