"""Write docs/recipe.md from the recipe's schema: ``python docs/make_reference.py``. A test tells when it is stale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from compress import recipe

SECTIONS = (
    recipe.Recipe,
    recipe.Teacher,
    recipe.Normalize,
    recipe.Data,
    recipe.Stage,
    recipe.Prune,
    recipe.Distill,
    recipe.Quantize,
    recipe.Training,
    recipe.FineTune,
    recipe.Augment,
    recipe.TargetChoice,
    recipe.Measure,
    recipe.Budget,
)
HEAD = """\
# The recipe

Every key of a recipe, made from its schema (`python docs/make_reference.py`). `compress schema` prints the same for
editors, `compress validate R` checks a recipe against it. Paths are relative to the recipe's folder.
"""


def render() -> str:
    """The whole page."""
    return HEAD + "".join(_section(model) for model in SECTIONS)


def _section(model: type[BaseModel]) -> str:
    lines = [f"\n## {model.__name__}\n", f"{(model.__doc__ or '').strip()}\n", "| key | default | |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        lines.append(f"| `{name}` | {_default(field)} | {field.description}{_values(model, name)} |")
    return "\n".join(lines) + "\n"


def _default(field: Any) -> str:
    if field.default is PydanticUndefined:
        return "needed"
    value = field.default
    if isinstance(value, BaseModel):
        return f"see {type(value).__name__}"
    if value in (None, (), {}):
        return ""
    if isinstance(value, tuple):
        value = ", ".join(item.name if isinstance(item, recipe.TargetChoice) else str(item) for item in value)
    return f"`{value:.6g}`" if isinstance(value, float) else f"`{value}`"


def _values(model: type[BaseModel], name: str) -> str:
    """Allowed words and bounds, from the JSON Schema."""
    schema = model.model_json_schema().get("properties", {}).get(name, {})
    parts = [schema, *schema.get("anyOf", ())]
    if words := next((part["enum"] for part in parts if "enum" in part), None):
        return f" ({' / '.join(map(str, words))})"
    bounds = {"minimum": "at least", "maximum": "at most", "exclusiveMinimum": "above", "exclusiveMaximum": "below"}
    found = [f"{word} {part[key]:g}" for part in parts for key, word in bounds.items() if key in part]
    return f" ({', '.join(found)})" if found else ""


if __name__ == "__main__":
    (Path(__file__).parent / "recipe.md").write_text(render(), "utf-8")
