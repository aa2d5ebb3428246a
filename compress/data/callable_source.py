"""Data from the user's own code: ``source: package.module:callable``.

The callable gets the recipe's ``data.options`` as keyword arguments, and whichever of ``path``, ``validation``,
``calibration`` and ``seed`` its signature names. It returns a :class:`Dataset`, or a dict of arrays with the keys of an
npz source (``x_train``, ``y_train``, ``x_test``, ``y_test``, ..., ``classes``, ``layout``, ``licence``).
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from compress.data.arrays import from_arrays
from compress.data.dataset import Dataset
from compress.errors import DataError, RecipeError
from compress.models.callables import import_callable


def load(name: str, folder: Path, common: Mapping[str, Any], options: Mapping[str, Any]) -> Dataset:
    """Call ``name`` (importable from the working directory or ``folder``) and turn what it returns into a data set."""
    function = import_callable(name, folder, "data.source")
    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        wanted = dict(common)
    else:
        wanted = {key: value for key, value in common.items() if key in parameters}
    try:
        inspect.signature(function).bind(**wanted, **options)
    except TypeError as error:
        raise RecipeError(f"data.options do not fit {name}{inspect.signature(function)}: {error}") from error
    try:
        result = function(**wanted, **options)
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{name} failed with {type(error).__name__}: {error}") from error
    if isinstance(result, Dataset):
        return result
    if isinstance(result, Mapping):
        return _from_mapping(name, dict(result), common)
    raise DataError(
        f"{name} returned a {type(result).__name__}: return a compress.data.Dataset, or a dict with "
        "x_train, y_train, x_test and y_test"
    )


def _from_mapping(name: str, arrays: dict[str, Any], common: Mapping[str, Any]) -> Dataset:
    extra = {key: arrays.pop(key) for key in ("classes", "layout", "licence") if key in arrays}
    for key, value in arrays.items():
        if not isinstance(value, np.ndarray):
            raise DataError(f"{name}: {key} is a {type(value).__name__}; return NumPy arrays")
    counts = {key: common[key] for key in ("validation", "calibration", "seed")}
    return from_arrays(arrays, name=name.partition(":")[2], where=name, **counts, **extra)
