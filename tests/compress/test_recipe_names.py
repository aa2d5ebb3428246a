from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

from compress.recipe_names import ARCHITECTURES, SOURCES, keywords, located, own_code


@pytest.mark.parametrize("place", [*SOURCES.values(), *ARCHITECTURES.values()])
def test_keywords_read_from_the_source_are_those_of_the_function(place):
    module, _, function = place.partition(":")
    assert keywords(place) == tuple(inspect.signature(getattr(importlib.import_module(module), function)).parameters)


def test_home_folder_is_expanded_and_an_unknown_one_is_a_name(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert located("~/a", Path("recipes")) == Path("/home/me/a")
    assert located("a", Path("recipes")) == Path("recipes/a")
    assert located("~nobody-has-this-name/a", Path("recipes")) == Path("recipes/~nobody-has-this-name/a")


def test_own_code_is_found_as_on_import(tmp_path, monkeypatch):
    (tmp_path / "json.py").touch()
    (tmp_path / "in_the_recipes_folder.py").touch()
    assert own_code("json:load", tmp_path).origin == json.__file__
    assert own_code("in_the_recipes_folder:net", tmp_path) is not None
    assert own_code("sys:exit", tmp_path) is not None
    assert own_code("nowhere_to_be_found.sub:net", tmp_path) is None
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    (tmp_path / "work" / "in_the_working_folder.py").touch()
    assert own_code("in_the_working_folder:net", tmp_path) is not None


def test_validating_imports_nothing_heavy(tmp_path):
    (tmp_path / "x.yaml").write_text(
        "name: x\nteacher: {architecture: resnet, arguments: {stem: 8}, train: {}}\n"
        "data: {source: huggingface, options: {name: a/b}}\n"
    )
    code = (
        "import sys\nfrom compress.recipe_file import load_recipe\nload_recipe(sys.argv[1])\n"
        "print([m for m in ('torch', 'onnx', 'datasets', 'compress.data') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "x.yaml")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"
