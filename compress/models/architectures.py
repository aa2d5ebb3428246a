"""The architectures a recipe can name, one module each; a user's own is ``package.module:callable``."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from compress.errors import RecipeError
from compress.models.callables import import_callable
from compress.recipe_names import ARCHITECTURES
from compress.suggest import did_you_mean

__all__ = ["ARCHITECTURES", "resolve", "with_defaults"]


def resolve(name: str, project: Path | None = None) -> Callable[..., nn.Module]:
    """The function that builds architecture ``name``; ``project`` is the recipe's folder.

    Raises :class:`RecipeError` for a name that does not exist or cannot be imported.
    """
    if name in ARCHITECTURES:
        module, _, function = ARCHITECTURES[name].partition(":")
        return getattr(importlib.import_module(module), function)
    if ":" in name:
        return import_callable(name, project, "architecture")
    allowed = did_you_mean(name, ARCHITECTURES)
    raise RecipeError(f"unknown architecture '{name}'; {allowed}, or package.module:callable for your own")


def with_defaults(
    name: str, arguments: dict[str, Any], *, classes: int, channels: int, project: Path | None = None
) -> dict[str, Any]:
    """``arguments`` plus the data's ``classes`` and ``channels``, if it takes them and they are not given."""
    parameters = inspect.signature(resolve(name, project)).parameters
    known = {"classes": classes, "channels": channels}
    return {**{key: value for key, value in known.items() if key in parameters}, **arguments}
