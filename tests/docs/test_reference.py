from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_recipe_reference_is_what_the_schema_says_now():
    render = runpy.run_path(str(DOCS / "make_reference.py"))["render"]
    assert (DOCS / "recipe.md").read_text("utf-8") == render()
