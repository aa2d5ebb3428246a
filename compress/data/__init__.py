"""Data sources: each is one module whose ``load`` returns a :class:`~compress.data.dataset.Dataset`.

:func:`load` reads the recipe's ``data:`` section and passes every source through the same gate:

1. the source's own ``load`` (unknown options are refused before anything is read);
2. inputs that stand in a more protected split too are dropped from the others (test keeps all of its samples);
3. the four splits are proven disjoint, non-empty and in range.

A source of your own needs no change here: ``source: package.module:callable`` names it.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from compress.data.arrays import check
from compress.data.dataset import SPLITS, Dataset, Split, check_disjoint, make_disjoint
from compress.errors import RecipeError
from compress.recipe_names import SOURCES, located, unknown_options
from compress.suggest import did_you_mean

__all__ = ["SOURCES", "SPLITS", "Dataset", "Split", "load"]


def load(settings: Any, folder: Path) -> Dataset:
    """Load the data set that ``settings`` (:class:`compress.recipe.Data`) describes; ``folder`` is the recipe's.

    Raises :class:`RecipeError` for a source or an option that does not exist, :class:`DataError` for unusable data.
    """
    common = {
        "path": located(settings.path, folder) if settings.path else None,
        "validation": settings.validation,
        "calibration": settings.calibration,
        "seed": settings.seed,
    }
    options = dict(settings.options or {})
    if settings.source in SOURCES:
        for _, message in unknown_options(settings.source, options):
            raise RecipeError(f"data.options: {message}")
        module, _, function = SOURCES[settings.source].partition(":")  # imported when used: each has its own needs
        dataset = getattr(importlib.import_module(module), function)(**common, **options)
    elif ":" in settings.source:
        from compress.data import callable_source

        dataset = callable_source.load(settings.source, folder, common, options)
    else:
        raise RecipeError(
            f"data.source: unknown source '{settings.source}'; {did_you_mean(settings.source, SOURCES)}, "
            "or package.module:callable for your own"
        )
    check(dataset)
    dataset = make_disjoint(dataset)
    check_disjoint(dataset)
    check(dataset)
    return dataset
