"""`compress validate` and `compress schema`: the commands that only look at recipes."""

from __future__ import annotations

import json

import jsonschema
import pytest
from ruamel.yaml import YAML

from compress.recipe import Recipe


def test_good_recipe_is_called_fine_with_its_stages_and_targets(call, recipe):
    result = call("validate", recipe)
    assert result.exit_code == 0
    assert result.stdout == f"{recipe}: fine: teacher -> prune -> quantize, for this-machine\n"


def test_wrong_recipe_exits_with_2_and_names_the_line(call, recipe):
    recipe.write_text(recipe.read_text().replace("ratio", "ration"))
    result = call("validate", recipe)
    assert result.exit_code == 2
    assert f"{recipe}:5: stages[0].prune.ration: unknown key; did you mean 'ratio'?" in result.stderr
    assert result.stdout == ""


def test_override_is_validated_too(call, recipe):
    assert call("validate", recipe, "--set", "stages[0].prune.ratio=0.2", "--set", "seed=3").exit_code == 0
    result = call("validate", recipe, "--set", "stages[0].prune.ratio=2")
    assert result.exit_code == 2
    assert "--set stages[0].prune.ratio=2: stages[0].prune.ratio: must be less than 1, not 2" in result.stderr


def test_validating_writes_nothing(call, recipe):
    before = sorted(recipe.parent.iterdir())
    call("validate", recipe)
    assert sorted(recipe.parent.iterdir()) == before


@pytest.fixture
def schema(call) -> dict:
    return json.loads(call("schema").stdout)


def test_schema_is_valid_and_titled(schema):
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == "compress recipe"
    jsonschema.Draft202012Validator.check_schema(schema)


def test_schema_describes_every_property(schema):
    for name, part in schema["$defs"].items():
        for branch in part.get("anyOf", [part]):
            assert all("description" in value for value in branch.get("properties", {}).values()), name


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"targets": "this-machine"},
        {"targets": {"name": "x"}},
        {"stages": ["quantize", {"quantize": None}, {"prune": {"macs": 0.3, "finetune": {"epochs": 2}}}]},
        {"budget": {"latency": "2 ms", "size": 110_000, "accuracy_drop": "0.5%", "speedup": "5x"}},
    ],
)
def test_schema_accepts_what_the_recipe_accepts(schema, recipe, change):
    jsonschema.Draft202012Validator(schema).validate(_plain(recipe) | change)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Up"},
        {"extra": 1},
        {"stages": [{"prune": {"ration": 0.5}}]},
        {"stages": [{}]},
        {"stages": [{"prune": {}, "distill": {}}]},
        {"stages": ["prun"]},
        {"budget": {"latency": "2 MB"}},
        {"budget": {"latency": 0}},
        {"measure": {"threads": 0}},
    ],
)
def test_schema_refuses_what_the_recipe_refuses(schema, recipe, change):
    assert not jsonschema.Draft202012Validator(schema).is_valid(_plain(recipe) | change)
    with pytest.raises(ValueError, match="error"):
        Recipe.model_validate(_plain(recipe) | change)


def _plain(recipe) -> dict:
    return YAML(typ="safe", pure=True).load(recipe)
