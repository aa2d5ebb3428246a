from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest
from rich.console import Console

from compress.bench import words
from compress.bench.run.table import as_csv, markdown, place_tables, terminal


def text_at(results, width):
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(terminal(results, width))
    return out.getvalue()


@pytest.mark.parametrize("width", [50, 60, 79, 80, 100, 120])
def test_terminal_table_fits_and_loses_no_number(results, width):
    text = text_at(results, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for place in place_tables(results):
        for row in place.rows:
            for cell in row[1:-1]:
                assert cell.text in text or cell.text == words.NO_VALUE
                assert cell.spread in text


def test_a_narrow_terminal_gets_a_line_for_every_quantity(results):
    lines = [" ".join(line.split()) for line in text_at(results, 60).splitlines()]
    for place in place_tables(results):
        for row in place.rows:
            assert f"{row[0].text} {row[-1].text}" in lines
            for (name, unit), cell in list(zip(place.headings, row, strict=True))[1:-1]:
                said = f"{name}, {unit} {cell.text} {cell.spread}".strip()
                assert (said in lines) is (cell.text != words.NO_VALUE)


def test_terminal_table_is_understood_without_colour(results):
    text = text_at(results, 120)
    for said in ("paid", "not measured", "raspberry-pi-4 is aarch64", "no VNNI", "met", "cannot tell", "[2.26, 3.04]"):
        assert said in text


def test_a_reason_shared_by_several_stages_is_said_once(results):
    assert text_at(results, 120).count("prune, distill, quantize, student  not measured") == 1


def test_units_stand_in_the_headings(results):
    for place in place_tables(results):
        units = dict(place.headings)
        assert (units["Accuracy"], units["Memory"]) == ("%", "MB")
        assert units["Median"] in ("s", "ms", "µs")


def test_markdown_tables_have_as_many_cells_in_every_row(results):
    counts = {}
    for line in markdown(results).splitlines():
        counts.setdefault(line.startswith("|") and line.count("|"), 0)
    assert set(counts) == {False, 9, 5}


def test_markdown_keeps_hostile_names_from_becoming_markup(results):
    hostile = replace(results.variants[0], stage="a|b\n<script>")
    text = markdown(replace(results, variants=[hostile], verdicts=[], budget=[]))
    assert "<script>" not in text
    assert "| a\\|b &lt;script>" in text


def test_csv_has_full_precision_in_si_units_and_a_row_a_variant(results):
    rows = list(csv.DictReader(io.StringIO(as_csv(results))))
    assert len(rows) == len(results.variants)
    for row, variant in zip(rows, results.variants, strict=True):
        if variant.latency:
            assert float(row["latency.p50"]) == variant.latency.p50
            assert float(row["accuracy.interval.low"]) == variant.accuracy.interval.low
        else:
            assert row["latency.p50"] == ""
            assert row["not_measured"] == variant.not_measured


def test_an_empty_run_makes_empty_tables(results):
    nothing = replace(results, variants=[], verdicts=[], budget=[])
    assert (markdown(nothing), as_csv(nothing).strip(), text_at(nothing, 80).strip()) == ("", "", "")
