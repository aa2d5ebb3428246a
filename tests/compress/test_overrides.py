from __future__ import annotations

import pytest

from compress.errors import RecipeError
from compress.overrides import apply
from compress.yaml_lines import Place, parse

TEXT = """\
name: x
stages:
  - prune: {ratio: 0.5}
  - quantize:
targets: [this-machine]
"""


@pytest.fixture
def document():
    return parse(TEXT, "f.yaml")


@pytest.mark.parametrize("path", ["stages.0.prune.ratio", "stages[0].prune.ratio"])
def test_item_of_a_list_by_either_notation(document, path):
    apply(document, f"{path}=0.25")
    assert document.value["stages"][0] == {"prune": {"ratio": 0.25}}


def test_value_is_yaml(document):
    apply(document, "targets=[a, {name: b}]")
    apply(document, "name='7'")
    apply(document, "seed=7")
    apply(document, "budget=")
    assert document.value["targets"] == ["a", {"name": "b"}]
    assert (document.value["name"], document.value["seed"], document.value["budget"]) == ("7", 7, None)


def test_value_may_contain_an_equals_sign(document):
    apply(document, "name=a=b")
    assert document.value["name"] == "a=b"


def test_missing_and_empty_mappings_on_the_way_are_made(document):
    apply(document, "budget.latency=2 ms")
    apply(document, "stages[1].quantize.samples=64")
    assert document.value["budget"] == {"latency": "2 ms"}
    assert document.value["stages"][1] == {"quantize": {"samples": 64}}


def test_what_was_set_and_all_inside_it_has_the_override_as_its_place(document):
    override = "stages[0].prune={ratoi: 0.3}"
    apply(document, override)
    assert document.place(("stages", 0, "prune", "ratoi")) == Place(f"--set {override}")
    assert document.place(("stages", 0, "prune", "ratio")) == Place(f"--set {override}")
    assert document.place(("stages", 0)).line == 3


def test_later_override_wins(document):
    apply(document, "name=a")
    apply(document, "name=b")
    assert document.value["name"] == "b"
    assert str(document.place(("name",))) == "--set name=b"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("name", r"--set name: expected key\.path=value"),
        ("=3", r"expected key\.path=value"),
        ("a..b=3", r"expected key\.path=value"),
        ("a[x]=3", r"expected key\.path=value"),
        ("stages[2].prune.ratio=1", r"stages is a list: expected the index of an item \(0 to 1\), not '2'"),
        ("stages.prune.ratio=1", r"stages is a list: .* not 'prune'"),
        ("name.first=1", r"name is 'x' and has no 'first'; set name as a whole"),
        ("stages[0].prune.ratio.x=1", r"stages\[0\]\.prune\.ratio is 0\.5"),
        ("extra[0]=1", r"extra has no items: set the whole list"),
        ("name=[1", r"--set name=\[1:1:3: not valid YAML"),
        ("name={a: 1, a: 2}", r"--set name=\{a: 1, a: 2\}:1: 'a' stands twice"),
    ],
)
def test_override_that_cannot_be_applied_is_named(document, override, message):
    with pytest.raises(RecipeError, match=message):
        apply(document, override)
