"""`--set key.path=value`: changes to a recipe for one run, checked like what stands in the file."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from compress.errors import RecipeError
from compress.yaml_lines import Located, Place, Where, parse


def apply(document: Located, override: str) -> None:
    """Put one ``key.path=value`` into the document. List items by index: ``stages.0.prune.ratio`` or ``stages[0]``.

    Unknown keys are put in as well: the schema refuses them, and names this override as their place.
    """
    path, equals, text = override.partition("=")
    source = f"--set {override}"
    if not equals or not re.fullmatch(r"[\w-]+((\.[\w-]+)|(\[\d+\]))*", path):
        raise RecipeError(f"{source}: expected key.path=value, for example stages[0].prune.ratio=0.3")
    keys = re.findall(r"[\w-]+", path)
    value = parse(text, source)

    where: Where = ()
    holder = document.value
    for key, following in pairwise(keys):
        index = _index(holder, key, where, source)
        where = (*where, index)
        if isinstance(holder, dict) and holder.get(key) is None:
            if following.isdigit():
                raise RecipeError(f"{source}: {dotted(where)} has no items: set the whole list")
            holder[key] = {}
            document.places[where] = Place(source)
        holder = holder[index]
    index = _index(holder, keys[-1], where, source)
    where = (*where, index)
    holder[index] = value.value
    for old in [w for w in document.places if w[: len(where)] == where]:
        del document.places[old]
    document.places |= {(*where, *inner): Place(source) for inner in value.places}


def dotted(where: Where) -> str:
    """``("stages", 0, "prune")`` as ``stages[0].prune``."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in where).lstrip(".")


def _index(holder: Any, key: str, where: Where, source: str) -> str | int:
    """``key`` as an index of ``holder``, which may be a mapping or a list."""
    if isinstance(holder, dict):
        return key
    here = dotted(where)
    if not isinstance(holder, list):
        raise RecipeError(f"{source}: {here} is {holder!r} and has no '{key}'; set {here} as a whole")
    if not key.isdigit() or int(key) >= len(holder):
        span = f"0 to {len(holder) - 1}" if holder else "none"
        raise RecipeError(f"{source}: {here} is a list: expected the index of an item ({span}), not '{key}'")
    return int(key)
