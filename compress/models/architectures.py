"""The architectures a recipe can name, one module each; a user's own is ``package.module:callable``."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from compress.errors import RecipeError
from compress.models.callables import import_callable
from compress.models.convnet import convnet
from compress.models.dscnn import dscnn
from compress.models.resnet import resnet

ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {"convnet": convnet, "dscnn": dscnn, "resnet": resnet}


def resolve(name: str, project: Path | None = None) -> Callable[..., nn.Module]:
    """The function that builds architecture ``name``; ``project`` is the recipe's folder.

    Raises :class:`RecipeError` for a name that does not exist or cannot be imported.
    """
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    if ":" in name:
        return import_callable(name, project, "architecture")
    close = difflib.get_close_matches(name, ARCHITECTURES, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise RecipeError(
        f"architecture: there is no {name!r}{hint}; use one of {', '.join(ARCHITECTURES)}, "
        "or package.module:callable for your own"
    )


def with_defaults(
    name: str, arguments: dict[str, Any], *, classes: int, channels: int, project: Path | None = None
) -> dict[str, Any]:
    """``arguments`` plus the data's ``classes`` and ``channels``, if it takes them and they are not given."""
    parameters = inspect.signature(resolve(name, project)).parameters
    known = {"classes": classes, "channels": channels}
    return {**{key: value for key, value in known.items() if key in parameters}, **arguments}
