"""Write docs/recipe.md, docs/results.md and docs/benchmark-schema.md from the code: ``python docs/make_reference.py``.
A test tells when one is stale."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from compress import recipe
from compress.bench import figures
from compress.bench.benchmark import fields as benchmark_fields
from compress.bench.benchmark import results as benchmark
from compress.bench.run import results
from compress.bench.run.fields import FIELDS, FREE

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
RULES = """\
## Versions

- The file says its schema. A program reads its own version of it and refuses every other by name; it never guesses.
- The number after the slash grows when a field is removed or renamed, changes its unit, type or meaning, or when a new
  one has no default: whatever would make an older file, or an older program, be misunderstood.
- A field that may be absent is added without a new number. So a program reads all files of its version from earlier
  releases. A file from a later release may hold a field that it does not know: it then refuses the file and names the
  field, because a misspelt field must not pass for an absent value. Programs of your own should ignore unknown fields.
- Keys inside the free dictionaries ({free}) may come and
  go without a new number.

## Conventions

Seconds, bytes, {more}fractions 0 to 1, everywhere. Intervals are 95 % intervals{but}. \
What was not measured is null, never 0.
NaN and infinity do not occur. The file is UTF-8.
"""
MORE, BUT = "joules, watts, ", ",\nbut where a field says that they are the least and the largest"
RESULTS_HEAD = f"""\
# results.json

What a run writes beside its tables, for programs: `"schema": "{results.SCHEMA}"` and the fields below. Made from the
code (`python docs/make_reference.py`). `compress.bench.run.results.from_json` reads it, `compress diff` compares two.

""" + RULES.format(free="`recipe`, `environment`, `conditions`, `data`, `method`, `settings`", more=MORE, but=BUT)
BENCHMARK_HEAD = f"""\
# benchmark.json

What `compress bench` writes for programs, one file a target: `"schema": "{benchmark.SCHEMA}"` and the fields below.
Made from the code (`python docs/make_reference.py`). `compress.bench.benchmark.results.from_json` reads it,
`compress diff` compares two. How the figures come about: [benchmarks.md](benchmarks.md). The single calls are in
`events.jsonl` beside it, from which `compress bench --from` makes this file again.

""" + RULES.format(
    free="`machine`, `plan`, `method`, `conditions`, `peaks`, `profiles`",
    more=MORE,
    but=BUT,
)


def render() -> str:
    """The page about recipes."""
    return HEAD + "".join(_section(model) for model in SECTIONS)


def render_results() -> str:
    """The page about results. Raises KeyError for a field that compress.bench.run.fields does not describe."""
    kinds = vars(figures) | vars(results)
    sections = [_fields(kinds[name], about) for name, about in FIELDS.items()]
    free = [f"\n## {name}\n\n{_rows(about)}" for name, about in FREE.items()]
    return RESULTS_HEAD + "".join(sections + free)


def render_benchmark() -> str:
    """The page about benchmarks. Raises KeyError for a field that compress.bench.benchmark.fields does not describe."""
    kinds = vars(figures) | vars(benchmark)
    sections = [_fields(kinds[name], about) for name, about in benchmark_fields.FIELDS.items()]
    free = [f"\n## {name}\n\n{_rows(about)}" for name, about in benchmark_fields.FREE.items()]
    return BENCHMARK_HEAD + "".join(sections + free)


def _fields(described: type, about: dict[str, tuple[str, str]]) -> str:
    summary = " ".join((described.__doc__ or "").split("\n\n")[0].split()).replace("``", "`")
    lines = [f"\n## {described.__name__}\n\n{summary}\n", "| field | unit | default | |", "|---|---|---|---|"]
    for field in dataclasses.fields(described):
        unit, meaning = about[field.name]
        lines.append(f"| `{field.name}` | {unit} | {_absent(field)} | {meaning} |")
    return "\n".join(lines) + "\n"


def _absent(field: dataclasses.Field) -> str:
    """What an absent field stands for."""
    if field.default_factory is not dataclasses.MISSING:
        return "empty"
    if field.default is dataclasses.MISSING:
        return "needed"
    return f"`{json.dumps(field.default)}`" if field.default != () else "empty"


def _rows(about: dict[str, tuple[str, str]]) -> str:
    lines = ["| key | unit | |", "|---|---|---|"]
    lines += [f"| `{name}` | {unit} | {meaning} |" for name, (unit, meaning) in about.items()]
    return "\n".join(lines) + "\n"


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
    pages = {"recipe.md": render(), "results.md": render_results(), "benchmark-schema.md": render_benchmark()}
    for page, text in pages.items():
        (Path(__file__).parent / page).write_text(text, "utf-8")
