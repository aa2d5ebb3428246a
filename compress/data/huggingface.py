"""Data sets of the Hugging Face ``datasets`` library: from the hub (``options: {name: owner/dataset}``), or local
through ``path``: a parquet, csv or json file, a folder of such files or of pictures, or one made by ``save_to_disk``.

Pictures may be an ``Image`` column, bytes, file names (relative to ``path``) or nested lists of 0 to 255.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from compress.data import pictures
from compress.data.arrays import complete, images
from compress.data.dataset import Dataset, Split
from compress.data.image_folder import draw_test
from compress.errors import DataError

_READERS = {".parquet": "parquet", ".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json"}


def load(
    *,
    path: Path | None,
    validation: int,
    calibration: int,
    seed: int,
    name: str | None = None,
    config: str | None = None,
    image: str = "image",
    label: str = "label",
    size: Sequence[int] | None = None,
    channels: int = 3,
    train_split: str = "train",
    test_split: str = "test",
    validation_split: str = "validation",
    test_share: float | None = None,
) -> Dataset:
    """Load ``path`` or the hub's ``name`` (and its ``config``).

    ``image``, ``label``: the columns. ``size``: [H, W] to resize to. ``channels``: 1 or 3. ``test_share``: fraction of
    train to draw the test split from, only for data without one. ``validation_split`` is used where it exists.
    """
    pictures.check_options(size, channels)
    if (path is None) == (name is None):
        raise DataError("source huggingface needs either data.path (local) or data.options.name (id on the hub)")
    where = str(path or name)
    tables = _open(path, name, config, where)
    reader = _Reader(image, label, size, channels, path)
    if train_split not in tables or (test_split not in tables and test_share is None):
        missing = test_split if train_split in tables else train_split
        raise DataError(
            f"{where}: there is no split {missing!r}, only {', '.join(tables)}; set options train_split and "
            "test_split, or test_share to draw a test split from train"
        )
    classes = reader.classes(tables[train_split], where)
    read = lambda split: reader.read(tables[split], classes, f"{where} {split}")  # noqa: E731
    splits = {"train": read(train_split)}
    if test_split in tables:
        splits["test"] = read(test_split)
    else:
        splits = draw_test(splits["train"], test_share, seed, classes, where)
    if validation_split in tables:
        splits["validation"] = read(validation_split)
    splits = complete(splits, where=where, validation=validation, calibration=calibration, seed=seed)
    title = path.resolve().stem if path else name
    return Dataset(title, **splits, classes=classes, licence=tables[train_split].info.license or "unknown")


def _open(path: Path | None, name: str | None, config: str | None, where: str) -> dict[str, Any]:
    """All splits as ``{name: datasets.Dataset}``."""
    try:
        import datasets
    except ImportError as error:
        raise DataError("source huggingface needs the package datasets: pip install compress[huggingface]") from error
    if path is not None and not path.exists():
        raise DataError(f"{path}: no such file or folder relative to the recipe; an id on the hub goes in options.name")
    try:
        if path is None:
            return dict(datasets.load_dataset(name, config))
        if path.is_file():
            if path.suffix not in _READERS:
                raise DataError(f"{path}: {path.suffix or 'no suffix'} is not among {', '.join(_READERS)}")
            return dict(datasets.load_dataset(_READERS[path.suffix], data_files=str(path)))
        if (path / "dataset_dict.json").is_file():
            return dict(datasets.load_from_disk(str(path)))
        return dict(datasets.load_dataset(str(path), config))
    except DataError:
        raise
    except Exception as error:  # the library raises anything: network, arrow, parser and builder errors
        reason = str(error.__cause__ or error).splitlines()[0:1]
        raise DataError(f"{where}: datasets cannot load it: {type(error).__name__}: {''.join(reason)}") from error


class _Reader:
    """Turns tables into splits: the columns, their forms, and how a picture becomes pixels."""

    def __init__(self, image: str, label: str, size: Sequence[int] | None, channels: int, path: Path | None) -> None:
        self._image, self._label, self._size, self._channels = image, label, size, channels
        self._root = path.parent if path and path.is_file() else path

    def classes(self, table: Any, where: str) -> tuple[str, ...]:
        """Names from the column's own class labels, else the sorted strings, else the numbers up to the highest."""
        for option, column in (("image", self._image), ("label", self._label)):
            if column not in table.column_names:
                raise DataError(
                    f"{where}: there is no column {column!r}, only {', '.join(table.column_names)}; "
                    f"set options: {{{option}: name}}"
                )
        if names := getattr(table.features[self._label], "names", None):
            return tuple(names)
        values = set(table[self._label])
        if all(isinstance(v, str) for v in values):
            return tuple(sorted(values))
        if all(isinstance(v, int) and not isinstance(v, bool) for v in values):
            return tuple(str(i) for i in range(max(values) + 1))
        raise DataError(f"{where}: column {self._label!r} holds {table.features[self._label]}: give numbers or names")

    def read(self, table: Any, classes: Sequence[str], where: str) -> Split:
        import datasets

        for column in (self._image, self._label):
            if column not in table.column_names:
                raise DataError(f"{where}: there is no column {column!r}, only {', '.join(table.column_names)}")
        feature = table.features[self._image]
        if isinstance(feature, datasets.Image):
            table = table.cast_column(self._image, datasets.Image(decode=False))
        column = table[self._image]
        labels = self._labels(table, classes, where)
        if not len(labels):
            raise DataError(f"{where}: the split is empty")
        if not isinstance(column[0], str | bytes | dict):
            x = images(_numbers(column, f"{where}: {self._image}"), f"{where}: {self._image}")
            if self._size is not None and x.shape[2:] != tuple(self._size):
                raise DataError(f"{where}: {self._image!r} holds numbers, not pictures: remove options.size")
            return Split(x, labels)
        arrays, names = [], []
        for row, value in enumerate(column):
            array, name = self._picture(value, f"{where} row {row}")
            arrays.append(array)
            names.append(name)
        return Split(pictures.stack(arrays, names, where), labels)

    def _picture(self, value: Any, row: str) -> tuple[np.ndarray, str]:
        if isinstance(value, dict) and value.get("bytes") is not None:
            value = value["bytes"]
        elif isinstance(value, dict):
            value = value.get("path")
        if isinstance(value, bytes):
            return pictures.read(value, row, self._size, self._channels), row
        if not isinstance(value, str):
            raise DataError(f"{row}: no picture in column {self._image!r}")
        file = (self._root or Path()) / value
        if not file.is_file():
            raise DataError(f"{row}: {file} does not exist")
        return pictures.read(file, str(file), self._size, self._channels), str(file)

    def _labels(self, table: Any, classes: Sequence[str], where: str) -> np.ndarray:
        number = {name: i for i, name in enumerate(classes)}
        labels = [number.get(v, -1) if isinstance(v, str) else v for v in table[self._label]]
        for row, value in enumerate(labels):
            if not isinstance(value, int) or not 0 <= value < len(classes):
                raise DataError(
                    f"{where} row {row}: label {table[row][self._label]!r} is not one of the {len(classes)} classes "
                    "of the training split"
                )
        return np.array(labels, np.int64)


def _numbers(column: Any, where: str) -> np.ndarray:
    """Nested lists of whole numbers as uint8, others as float32."""
    try:
        array = np.asarray(list(column))
    except ValueError as error:
        raise DataError(f"{where}: the rows have different shapes ({error})") from error
    if array.dtype.kind in "iu" and array.size and array.min() >= 0 and array.max() <= 255:
        return array.astype(np.uint8)
    return array
