from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.errors import RecipeError
from compress.yaml_lines import Place, parse


def test_values_are_plain_and_follow_yaml_1_2():
    text = "{a: 1e-3, b: yes, c: 012, d: 2024-01-01, e: 0x10, f: ~, g: true, h: .5, i: '3', j: [1, x]}"
    value = parse(text, "f").value
    assert value == {
        "a": 0.001,
        "b": "yes",
        "c": 12,
        "d": "2024-01-01",
        "e": 16,
        "f": None,
        "g": True,
        "h": 0.5,
        "i": "3",
        "j": [1, "x"],
    }
    assert all(type(v) in (float, str, int, type(None), bool, list) for v in value.values())


def test_every_key_and_item_has_its_line():
    document = parse("a: 1\nb:\n  - c: 2\n    d: 3\n  - x\n", "f.yaml")
    lines = {where: place.line for where, place in document.places.items()}
    assert lines == {(): 1, ("a",): 1, ("b",): 2, ("b", 0): 3, ("b", 0, "c"): 3, ("b", 0, "d"): 4, ("b", 1): 5}
    assert str(document.place(("b", 0, "c"))) == "f.yaml:3"


def test_place_of_what_was_not_written_is_that_of_what_is_around_it():
    assert parse("a:\n  b: 1\n", "f").place(("a", "missing", 3)) == Place("f", 1)


def test_aliases_and_merges_are_expanded_and_keep_their_own_lines():
    document = parse("x: &x\n  lr: 1\n  epochs: 2\ny:\n  <<: *x\n  lr: 3\nz: *x\n", "f")
    assert document.value["y"] == {"lr": 3, "epochs": 2}
    assert document.value["z"] == {"lr": 1, "epochs": 2}
    assert document.place(("y", "epochs")).line == 3
    assert document.place(("y", "lr")).line == 6


def test_of_several_merged_mappings_the_first_wins():
    text = "a: &a {k: 1}\nb: &b {k: 2, l: 2}\nc: {<<: [*a, *b]}\n"
    assert parse(text, "f").value["c"] == {"k": 1, "l": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "f:3: 'a' stands twice; the first is in line 1"),
        ("a:\n\tb: 1\n", "f:2:1: not valid YAML: .*tabs"),
        ("a: [1, 2\nb: 3\n", "f:2:.*not valid YAML"),
        ("a: 'x\n", "f:2:1: not valid YAML"),
        ("a: 1\n---\nb: 2\n", "f:2:1: not valid YAML: .*single document|f:2:1: not valid YAML"),
        ("a: *b\n", "f:1:4: not valid YAML: found undefined alias"),
        ("a: !!python/object:os.system x\n", "f:1: tag '.*' is not understood"),
        ("a: !!binary aGk=\n", "f:1: tag"),
        ("a: !!int many\n", "f:1: 'many' is no int"),
        ("a: .nan\n", "f:1: '.nan' is not a finite number"),
        ("a: -.inf\n", "not a finite number"),
        ("1: a\n", "f:1: keys must be text"),
        ("? [a, b]\n: c\n", "f:1: keys must be text"),
        ("a: 1\n<<: 3\n", "f:2: '<<' merges mappings only"),
        ("a: \0\n", "f: not valid YAML: .*special characters"),
        ("a: &a [*a]\n", "f:1: too large"),
        ("a: &a {<<: *a}\n", "f:1: .<<. merges mappings only"),
        ("[" * 100_000, "f:1:51: not valid YAML: nested more than 50 levels deep"),
        ("\n".join(" " * i + "a:" for i in range(60)), "f:5[01]:.*nested more than 50 levels"),
    ],
)
def test_what_no_recipe_holds_is_refused_with_its_line(text, message):
    with pytest.raises(RecipeError, match=message):
        parse(text, "f")


def test_small_file_cannot_expand_to_a_huge_value():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 20)]
    with pytest.raises(RecipeError, match="too large: a recipe has at most 100000 values"):
        parse("\n".join(lines), "f")


@settings(deadline=None, max_examples=200)
@given(st.text(alphabet=st.sampled_from(list("ab:-[]{}&*!|>'\"#,?<% \n\t0123.~\x00é\ud800")), max_size=40))
def test_any_text_is_a_value_or_a_recipe_error(text):
    try:
        parse(text, "f")
    except RecipeError as error:
        assert str(error).startswith("f")
