"""From a recipe's file to a checked :class:`Recipe`; every mistake is named with the file's line, all at once.

1. The bytes: a file, not huge, UTF-8.
2. The YAML, with the line of every key (:mod:`compress.yaml_lines`).
3. The overrides of the command line (:mod:`compress.overrides`).
4. The schema, and settings that contradict each other.
5. Files, code and targets that are not there.

Nothing is ever written, and no code of the recipe is run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import ValidationError

from compress.errors import RecipeError
from compress.overrides import apply, dotted
from compress.recipe import Recipe
from compress.recipe_checks import absences, refuse
from compress.recipe_messages import explain
from compress.suggest import MOST, did_you_mean, few
from compress.yaml_lines import MAX_BYTES, Located, parse


def load_recipe(path: Path | str, overrides: Iterable[str] = ()) -> Recipe:
    """Read, override and check a recipe. Raises :class:`RecipeError` with a line for each mistake."""
    path = Path(path)
    document = parse(_text(path), str(path))
    if not isinstance(document.value, dict):
        found = {list: "a list", type(None): "empty"}.get(type(document.value), "a single value")
        raise RecipeError(f"{path}: {found}: expected a mapping with the keys {', '.join(Recipe.model_fields)}")
    for override in overrides:
        apply(document, override)
    try:
        recipe = Recipe.model_validate(document.value).placed(path.parent)
        refuse(absences(recipe))
    except ValidationError as error:
        raise RecipeError(_report(error, document)) from None
    return recipe


def _text(path: Path) -> str:
    try:
        if path.is_dir():
            hint = f", one of {few(names)}" if (names := _recipes(path)) else ""
            raise RecipeError(f"{path}: a folder; give the recipe's file{hint}")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        names = _recipes(path.parent)
        hint = f"; {did_you_mean(path.name, names, 'the recipes there', MOST)}" if names else ""
        raise RecipeError(f"{path}: no such file{hint}") from None
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from error
    if len(raw) > MAX_BYTES:
        raise RecipeError(f"{path}: larger than {MAX_BYTES // 1000} kB: this is no recipe")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise RecipeError(f"{path}:{line}: not UTF-8 text (byte {error.start}): save the file as UTF-8") from None


def _recipes(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.glob("*.y*ml") if p.is_file())


def _report(error: ValidationError, document: Located) -> str:
    """One line for each mistake, in the order of the file's lines."""
    found: Sequence = [(document.place(where), where, text) for where, text in explain(error)]
    found = sorted(found, key=lambda item: (item[0].line == 0, item[0].line))
    return "\n".join(": ".join(filter(None, (str(place), dotted(where), text))) for place, where, text in found)
