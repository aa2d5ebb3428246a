"""Folders of pictures, one folder a class: ``root/train/<class>/*.png`` and ``root/test/<class>/*.png`` (also
``validation`` or ``val``, and ``calibration``), or only ``root/<class>/*.png``, from which a test split is then drawn.

Everything is decoded into memory: N x C x H x W bytes (10,000 pictures of 3x224x224 are 1.5 GB).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from compress.data import pictures
from compress.data.arrays import complete
from compress.data.dataset import Dataset, Split, stratified
from compress.errors import DataError

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
FOLDERS = {"train": ("train",), "test": ("test",), "validation": ("validation", "val"), "calibration": ("calibration",)}


def load(
    *,
    path: Path | None,
    validation: int,
    calibration: int,
    seed: int,
    size: Sequence[int] | None = None,
    channels: int = 3,
    test_share: float = 0.2,
    licence: str = "unknown",
) -> Dataset:
    """Read every picture below ``path``.

    ``size``: [H, W] to resize to; without it all pictures must have one size. ``channels``: 1 or 3. ``test_share``:
    fraction of each class that becomes the test split where there is no test folder.
    """
    pictures.check_options(size, channels)
    if path is None:
        raise DataError("data.path is missing: name the folder of pictures, relative to the recipe")
    if not path.is_dir():
        raise DataError(f"{path}: no such folder; data.path is relative to the recipe")
    folders = _split_folders(path)
    classes = _class_names(folders.get("train", path))
    for folder in folders.values():
        _same_classes(folder, classes, folders["train"])
    splits = {name: _read(folder, classes, size, channels) for name, folder in folders.items()}
    if not folders:
        splits = draw_test(_read(path, classes, size, channels), test_share, seed, classes, str(path))
    splits = complete(splits, where=str(path), validation=validation, calibration=calibration, seed=seed)
    return Dataset(path.resolve().name, **splits, classes=classes, licence=licence)


def draw_test(everything: Split, share: float, seed: int, classes: Sequence[str], where: str) -> dict[str, Split]:
    """Cut a stratified test split off, leaving at least one sample of every class on both sides."""
    if not 0 < share < 1:
        raise DataError(f"data.options.test_share is {share!r}: give a fraction between 0 and 1")
    index = stratified(everything.labels, round(share * len(everything)), seed)
    rest = np.setdiff1d(np.arange(len(everything)), index)
    splits = {"train": everything.take(rest), "test": everything.take(index)}
    for name, split in splits.items():
        if gone := sorted(set(range(len(classes))) - set(split.labels.tolist())):
            raise DataError(
                f"{where}: too few samples of {_some([classes[i] for i in gone])}: none is left for {name}; "
                "add samples or change options: {test_share}"
            )
    return splits


def _split_folders(root: Path) -> dict[str, Path]:
    """The folder of every split that has one; empty when ``root`` holds the classes themselves."""
    found = {split: root / name for split, names in FOLDERS.items() for name in names if (root / name).is_dir()}
    if not found:
        return {}
    for split in ("train", "test"):
        if split not in found:
            here = ", ".join(sorted(f.name for f in found.values()))
            raise DataError(f"{root}: has {here} but no {split}/ folder; add it, or put the classes directly in {root}")
    return found


def _class_names(folder: Path) -> tuple[str, ...]:
    names = tuple(sorted(f.name for f in folder.iterdir() if f.is_dir() and not f.name.startswith(".")))
    if len(names) < 2:
        found = f"only {names[0]!r}" if names else "none"
        raise DataError(f"{folder}: one folder for each class is expected, at least two; there is {found}")
    return names


def _same_classes(folder: Path, classes: Sequence[str], train: Path) -> None:
    names = {f.name for f in folder.iterdir() if f.is_dir() and not f.name.startswith(".")}
    if extra := sorted(names - set(classes)):
        raise DataError(f"{folder}: classes {_some(extra)} are not in {train}; all splits need the same")
    if missing := sorted(set(classes) - names):
        raise DataError(f"{folder}: classes {_some(missing)} of {train} are missing; all splits need the same")


def _read(folder: Path, classes: Sequence[str], size: Sequence[int] | None, channels: int) -> Split:
    files, labels = [], []
    for label, name in enumerate(classes):
        found = sorted(f for f in (folder / name).rglob("*") if f.suffix.lower() in SUFFIXES and _visible(f, folder))
        if not found:
            raise DataError(f"{folder / name}: no pictures there; known kinds are {', '.join(sorted(SUFFIXES))}")
        files += found
        labels += [label] * len(found)
    arrays = [pictures.read(file, str(file), size, channels) for file in files]
    return Split(pictures.stack(arrays, list(map(str, files)), str(folder)), np.array(labels, np.int64))


def _visible(file: Path, folder: Path) -> bool:
    return file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts)


def _some(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(map(repr, names[:most])) + (f" and {len(names) - most} more" if len(names) > most else "")
