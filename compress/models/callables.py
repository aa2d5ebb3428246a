"""``package.module:callable``: code of the user's own project, named in a recipe.

It is importable from the working directory and from the recipe's folder. Both are put at the end of ``sys.path``, so
that a file there never shadows an installed package; they stay there because the code may import more when it runs.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from compress.errors import ModelError, RecipeError


def import_callable(name: str, folder: Path | None, field: str) -> Callable[..., Any]:
    """Import ``package.module:callable``; ``field`` is the recipe's field, for errors.

    Raises :class:`RecipeError` when it cannot be imported or is not callable.
    """
    module_name, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in [*module_name.split("."), *attribute.split(".")]):
        raise RecipeError(f"{field}: {name!r} is not of the form package.module:callable")
    places = [Path.cwd(), *([folder.resolve()] if folder else [])]
    for place in map(str, places):
        if place not in sys.path:
            sys.path.append(place)
    importlib.invalidate_caches()
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            where = " nor ".join(map(str, places))
            raise RecipeError(f"{field}: no module {error.name!r} is installed, nor in {where}") from error
        raise RecipeError(f"{field}: {module_name} needs the module {error.name!r}, which is not installed") from error
    except Exception as error:  # whatever the user's module raises while it is imported
        raise RecipeError(f"{field}: importing {module_name} failed: {type(error).__name__}: {error}") from error
    file = getattr(found, "__file__", None)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise RecipeError(f"{field}: {module_name} ({file}) has no {attribute!r}")
        found = getattr(found, part)
    if not callable(found):
        raise RecipeError(f"{field}: {name} is a {type(found).__name__}, not something to call")
    return found


def call(function: Callable[..., Any], arguments: dict[str, Any], name: str) -> Any:
    """``function(**arguments)``; raises :class:`ModelError` naming wrong arguments, or what went wrong inside."""
    try:
        signature = inspect.signature(function)
        signature.bind(**arguments)
    except TypeError as error:
        raise ModelError(f"arguments do not fit {name}{signature}: {error}") from error
    try:
        return function(**arguments)
    except Exception as error:  # the user's code, or an architecture given impossible sizes
        raise ModelError(f"{name}({_listed(arguments)}) failed with {type(error).__name__}: {error}") from error


def _listed(arguments: dict[str, Any]) -> str:
    text = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    return text if len(text) < 200 else text[:200] + "..."
