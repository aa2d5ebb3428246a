from __future__ import annotations

import dataclasses
import runpy
from pathlib import Path

import pytest

from compress.bench import figures
from compress.bench.benchmark import fields as benchmark_fields
from compress.bench.benchmark import results as benchmark
from compress.bench.run import results
from compress.bench.run.fields import FIELDS

DOCS = Path(__file__).resolve().parents[2] / "docs"


PAGES = [
    ("recipe.md", "render"),
    ("results.md", "render_results"),
    ("benchmark-schema.md", "render_benchmark"),
]


@pytest.mark.parametrize(("page", "render"), PAGES)
def test_the_reference_is_what_the_code_says_now(page, render):
    page_of = runpy.run_path(str(DOCS / "make_reference.py"))[render]
    assert (DOCS / page).read_text("utf-8") == page_of(), "run python docs/make_reference.py"


@pytest.mark.parametrize(
    ("modules", "described"), [((results, figures), FIELDS), ((benchmark,), benchmark_fields.FIELDS)]
)
def test_every_field_of_the_results_is_described_and_no_other(modules, described):
    """A new field belongs into the table of fields beside the dataclasses too, with its unit."""
    found = {
        name: {field.name for field in dataclasses.fields(value)}
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, type) and dataclasses.is_dataclass(value)
    }
    assert {name: set(fields) for name, fields in described.items()} == found
