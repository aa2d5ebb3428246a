"""Plain arrays to a :class:`Dataset`: the part that npz files, user functions and the Hugging Face source share.

Every split has an ``x_<split>`` and a ``y_<split>``. ``train`` and ``test`` must be there, ``validation`` and
``calibration`` are carved from train when they are not. Pixels may lie as (N, H, W), (N, H, W, C) or (N, C, H, W);
a shape that could be read two ways is refused, never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from compress.data.dataset import SPLITS, Dataset, Split, carve, for_empty
from compress.errors import DataError

LAYOUTS = ("NHW", "NHWC", "NCHW")
_CHANNELS = (1, 3)


def from_arrays(
    arrays: Mapping[str, np.ndarray],
    *,
    name: str,
    where: str,
    validation: int,
    calibration: int,
    seed: int,
    classes: Sequence[str] | None = None,
    layout: str | None = None,
    licence: str = "unknown",
) -> Dataset:
    """Build a checked data set from ``x_train, y_train, x_test, y_test`` and optionally the other splits.

    ``where`` opens every error message (a file's name). ``classes`` defaults to "0", "1", ... up to the highest
    training label. Raises :class:`DataError`.
    """
    if layout is not None and layout not in LAYOUTS:
        raise DataError(f"{where}: layout {layout!r} does not exist; use one of {', '.join(LAYOUTS)}")
    splits = {}
    for split in SPLITS:
        keys = f"x_{split}", f"y_{split}"
        found = [key for key in keys if key in arrays]
        if len(found) == 2:
            x, y = (np.asarray(arrays[key]) for key in keys)
            if not x.size and not y.size:
                raise DataError(f"{where}: {' and '.join(keys)} are empty; {for_empty(split)}")
            splits[split] = _split(x, y, *keys, where, layout)
        elif found or split in ("train", "test"):
            missing = " and ".join(sorted(set(keys) - set(found)))
            raise DataError(f"{where}: {missing} is missing; it has {', '.join(arrays) or 'no arrays'}")
    splits = complete(splits, where=where, validation=validation, calibration=calibration, seed=seed)
    if classes is None:
        classes = [str(i) for i in range(int(splits["train"].labels.max(initial=0)) + 1)]
    dataset = Dataset(name, **splits, classes=tuple(map(str, classes)), licence=licence)
    check(dataset, where)
    return dataset


def complete(
    splits: Mapping[str, Split], *, where: str, validation: int, calibration: int, seed: int
) -> dict[str, Split]:
    """Carve from train whichever of validation and calibration is not among ``splits``."""
    splits = dict(splits)
    wanted = {"validation": validation, "calibration": calibration}
    counts = {split: 0 if split in splits else count for split, count in wanted.items()}
    try:
        train, calib, valid = carve(splits["train"], **counts, seed=seed)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    return {"calibration": calib, "validation": valid, **splits, "train": train}


def check(dataset: Dataset, where: str = "") -> None:
    """Raise :class:`DataError` unless every split holds samples of one shape and dtype, with labels in range."""
    where = where or dataset.name
    for name in SPLITS:
        split: Split = getattr(dataset, name)
        if not isinstance(split.inputs, np.ndarray) or not isinstance(split.labels, np.ndarray):
            raise DataError(f"{where}: {name} holds a {type(split.inputs).__name__}; splits hold NumPy arrays")
    shape, dtype = dataset.input_shape, dataset.test.inputs.dtype
    if len(dataset.classes) < 2:
        raise DataError(f"{where}: {len(dataset.classes)} class: there is nothing to tell apart")
    for name in SPLITS:
        split: Split = getattr(dataset, name)
        if not len(split):
            raise DataError(f"{where}: the {name} split is empty; {for_empty(name)}")
        if split.inputs.ndim != 4 or split.inputs.dtype not in (np.uint8, np.float32):
            raise DataError(
                f"{where}: {name} inputs are {split.inputs.dtype} of shape {split.inputs.shape}; "
                "give (N, C, H, W) as uint8 pixels or float32"
            )
        if split.inputs.shape[1:] != shape or split.inputs.dtype != dtype:
            raise DataError(
                f"{where}: {name} inputs are {split.inputs.dtype} {split.inputs.shape[1:]} "
                f"but test inputs are {dtype} {shape}; all splits need the same"
            )
        if dtype == np.float32 and not np.isfinite(split.inputs).all():
            bad = np.flatnonzero(~np.isfinite(split.inputs).all((1, 2, 3)))
            raise DataError(f"{where}: {len(bad)} {name} inputs hold NaN or infinity, the first is number {bad[0]}")
        if split.labels.ndim != 1 or split.labels.dtype != np.int64:
            raise DataError(f"{where}: {name} labels are {split.labels.dtype} {split.labels.shape}; give (N,) int64")
        low, high = int(split.labels.min()), int(split.labels.max())
        if low < 0 or high >= len(dataset.classes):
            raise DataError(
                f"{where}: {name} labels go from {low} to {high}, but with {len(dataset.classes)} classes "
                f"they must be 0 to {len(dataset.classes) - 1}"
            )


def _split(x: np.ndarray, y: np.ndarray, x_key: str, y_key: str, where: str, layout: str | None) -> Split:
    if len(x.shape) == 0 or len(y.shape) == 0 or len(x) != len(y):
        raise DataError(f"{where}: {x_key} has shape {x.shape} and {y_key} {y.shape}: every input needs one label")
    return Split(images(x, f"{where}: {x_key}", layout), _labels(y, f"{where}: {y_key}"))


def images(x: np.ndarray, where: str, layout: str | None = None) -> np.ndarray:
    """(N, C, H, W) contiguous uint8 or float32 from any of :data:`LAYOUTS`; found from the shape without ``layout``."""
    if x.dtype.kind == "f":
        x = x.astype(np.float32, copy=False)
    elif x.dtype != np.uint8:
        raise DataError(f"{where} is {x.dtype}: give uint8 pixels (0 to 255), or floats for other signals")
    layout = layout or _layout(x.shape, where)
    if x.ndim != len(layout):
        raise DataError(f"{where} has shape {x.shape}, which is not {layout}")
    if layout == "NHW":
        x = x[:, None]
    elif layout == "NHWC":
        x = x.transpose(0, 3, 1, 2)
    if 0 in x.shape[1:]:
        raise DataError(f"{where} has shape {x.shape}: the pictures are empty")
    return np.require(x, requirements=["C", "W"])  # torch refuses to share read-only memory


def _layout(shape: tuple[int, ...], where: str) -> str:
    if len(shape) == 3:
        return "NHW"
    if len(shape) != 4:
        raise DataError(f"{where} has shape {shape}: give (N, H, W), (N, H, W, C) or (N, C, H, W)")
    first, last = shape[1] in _CHANNELS, shape[3] in _CHANNELS
    if first == last:
        reason = "both axis 1 and axis 3 could be" if first else "neither axis 1 nor axis 3 looks like"
        raise DataError(f"{where} has shape {shape}: {reason} the channels; say options: {{layout: NCHW}} or NHWC")
    return "NCHW" if first else "NHWC"


def _labels(y: np.ndarray, where: str) -> np.ndarray:
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or y.dtype.kind not in "iu":
        hint = "take argmax(1) of one-hot rows" if y.ndim == 2 else "give class numbers, 0 to classes - 1"
        raise DataError(f"{where} is {y.dtype} of shape {y.shape}: labels are one whole number a sample; {hint}")
    return y.astype(np.int64)
