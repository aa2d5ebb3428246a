from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console
from run_pairs import change, complete, slower, wrong

from compress.bench.diff.compare import compare
from compress.bench.diff.table import terminal


def text_at(difference, width, **options):
    out = io.StringIO()
    Console(file=out, width=width, color_system=None, highlight=False).print(terminal(difference, width, **options))
    return out.getvalue()


@pytest.fixture
def pair(results):
    old = complete(results)
    new = change(change(old, wrong(100)), slower(1.5), "distill/this-machine/openvino")
    new = change(new, slower(0.8), "prune/this-machine/openvino")
    new = replace(new, recipe=new.recipe | {"seed": 1}, variants=new.variants[:-1])
    return old, new


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("width", [72, 80, 100, 120])
def test_it_fits_and_no_number_is_broken(pair, width, everything):
    text = text_at(compare(*pair), width, everything=everything)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for said in ("−1.00 points", "time +50.0 %", "time −20.0 %", "better", "worse"):
        assert said in text


def test_the_answer_comes_first(pair):
    assert (
        text_at(compare(*pair), 120).splitlines()[0].startswith("3 figures worse beyond noise and tolerance; 2 better")
    )
    assert text_at(compare(pair[0], pair[0]), 120).startswith("Nothing is worse beyond noise and tolerance.")


def test_what_did_not_change_takes_no_row_unless_asked_for(pair):
    short, full = (text_at(compare(*pair), 120, everything=everything) for everything in (False, True))
    short = " ".join(short.split())
    assert "same" not in short.replace("known to be in the same state", "") and "same" in full
    assert "no change beyond noise" in short


def test_what_explains_the_change_is_listed_and_what_did_not_change_is_not(pair):
    text = text_at(compare(*pair), 120)
    assert "seed: none -> 1" in text
    assert "Only in the older run\n  quantize/raspberry-pi-4/onnxruntime" in text
    assert "paired, 10000 samples: 100 newly wrong, 0 newly right" in text
    for title in ("Versions", "Machine\n", "Data\n", "Only in the newer run"):
        assert title not in text


def test_medians_that_decide_nothing_are_shown_for_information(pair):
    blind = [replace(run, conditions={}) for run in pair]
    text = " ".join(text_at(compare(*blind), 120).split())
    assert "median, for information: prune" in text and "conditions were not recorded" in text


def test_square_brackets_in_names_are_no_markup(pair):
    odd = [
        replace(run, recipe=run.recipe | {"name": name}) for run, name in zip(pair, ("[red]", "[/red]"), strict=True)
    ]
    assert "name: [red] -> [/red]" in text_at(compare(*odd), 80)
