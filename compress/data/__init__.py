"""Data sources: each is one module whose ``load`` returns a :class:`~compress.data.dataset.Dataset`.

:func:`load` reads the recipe's ``data:`` section and passes every source through the same gate:

1. the source's own ``load`` (unknown options are refused before anything is read);
2. inputs that stand in a more protected split too are dropped from the others (test keeps all of its samples);
3. the four splits are proven disjoint, non-empty and in range.

A source of your own needs no change here: ``source: package.module:callable`` names it.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from compress.data.arrays import check
from compress.data.dataset import SPLITS, Dataset, Split, check_disjoint, make_disjoint
from compress.errors import RecipeError

__all__ = ["SOURCES", "SPLITS", "Dataset", "Split", "load"]

# The modules are imported when used: `huggingface` needs packages that the others do not.
SOURCES = {
    "fashion-mnist": "compress.data.fashion_mnist",
    "huggingface": "compress.data.huggingface",
    "image-folder": "compress.data.image_folder",
    "npz": "compress.data.npz",
}
_COMMON = ("path", "validation", "calibration", "seed")


def load(settings: Any, folder: Path) -> Dataset:
    """Load the data set that ``settings`` (:class:`compress.recipe.Data`) describes; ``folder`` is the recipe's.

    Raises :class:`RecipeError` for a source or an option that does not exist, :class:`DataError` for unusable data.
    """
    common = {
        "path": folder / settings.path if settings.path else None,
        "validation": settings.validation,
        "calibration": settings.calibration,
        "seed": settings.seed,
    }
    options = dict(settings.options or {})
    if settings.source in SOURCES:
        source = importlib.import_module(SOURCES[settings.source]).load
        _check_options(settings.source, source, options)
        dataset = source(**common, **options)
    elif ":" in settings.source:
        from compress.data import callable_source

        dataset = callable_source.load(settings.source, folder, common, options)
    else:
        raise RecipeError(
            f"data.source: there is no source {settings.source!r}{_nearest(settings.source, SOURCES)}; "
            f"use one of {', '.join(SOURCES)}, or package.module:callable for your own"
        )
    check(dataset)
    dataset = make_disjoint(dataset)
    check_disjoint(dataset)
    check(dataset)
    return dataset


def _check_options(name: str, source: Callable[..., Dataset], options: dict[str, Any]) -> None:
    known = [p for p in inspect.signature(source).parameters if p not in _COMMON]
    for key in options:
        if key not in known:
            allowed = f"the options are {', '.join(known)}" if known else "it takes none"
            raise RecipeError(f"data.options: {name} has no option {key!r}{_nearest(key, known)}; {allowed}")


def _nearest(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
