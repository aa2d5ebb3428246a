"""The examples in the documentation run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from small_recipe import RECIPE, write_data

pytestmark = pytest.mark.integration
DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_python_examples_run_one_after_the_other(small_data, tmp_path, monkeypatch, capsys):
    write_data(tmp_path / "data.npz", small_data)
    (tmp_path / "small.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COMPRESS_STORE", str(tmp_path / "store"))
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "python.md").read_text(), re.DOTALL)
    names: dict = {}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)
    told = capsys.readouterr().out
    assert "within the budget:" in told and "as fast as float here" in told
    assert (tmp_path / "runs" / "small" / "report.html").is_file()
