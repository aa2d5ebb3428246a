from __future__ import annotations

import dataclasses
import runpy
from pathlib import Path

import pytest

from compress.bench import results
from compress.bench.results_fields import FIELDS

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize(("page", "render"), [("recipe.md", "render"), ("results.md", "render_results")])
def test_the_reference_is_what_the_code_says_now(page, render):
    page_of = runpy.run_path(str(DOCS / "make_reference.py"))[render]
    assert (DOCS / page).read_text("utf-8") == page_of(), "run python docs/make_reference.py"


def test_every_field_of_the_results_is_described_and_no_other():
    """A new field belongs into compress.bench.results_fields too, with its unit."""
    found = {
        name: {field.name for field in dataclasses.fields(value)}
        for name, value in vars(results).items()
        if isinstance(value, type) and dataclasses.is_dataclass(value)
    }
    assert {name: set(fields) for name, fields in FIELDS.items()} == found
