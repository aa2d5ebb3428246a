from __future__ import annotations

import csv
import json
from dataclasses import replace

import pytest

from compress.bench.figures import Interval
from compress.bench.sensitivity import plot as sensitivity_plot
from compress.bench.sensitivity import report as sensitivity_report
from compress.bench.sensitivity.ranking import Ranking, Sensitivity, to_csv, to_json
from compress.bench.stats import paired_difference

RIGHT = [True] * 90 + [False] * 10


def layer(name: str, lost: int, error: float, latency: Interval | None) -> Sensitivity:
    loss = paired_difference(RIGHT, [False] * lost + RIGHT[lost:])
    none = paired_difference(RIGHT, RIGHT)
    return Sensitivity(name, "Conv", 9, loss, error, none, 0.1, latency, 1234)


def ranking(timed: bool = True) -> Ranking:
    times = [Interval(1.2, 1.1, 1.3), Interval(0.9, 0.85, 0.95), Interval(1.0, 0.9, 1.1)] if timed else [None] * 3
    layers = tuple(
        layer(*values) for values in zip(("a<b", "slow", "still"), (20, 0, 0), (0.1, 0.01, 0.0), times, strict=True)
    )
    loss = paired_difference(RIGHT, RIGHT)
    return Ranking("openvino", "u8s7", layers, loss, 0.1, times[2], {"int8": 1000, "float": 4000}, {"samples": 100})


def test_noise_is_told_in_decibels_and_its_absence_as_nothing():
    assert [found.sqnr for found in ranking().layers] == [pytest.approx(20), pytest.approx(40), None]


def test_what_surely_costs_accuracy_or_time_is_known_as_such():
    assert [(found.costs, found.slower) for found in ranking().layers] == [(True, False), (False, True), (False, False)]
    assert [found.slower for found in ranking(timed=False).layers] == [False] * 3


def test_json_holds_the_decibels_and_survives_what_was_not_measured():
    plain = json.loads(to_json([ranking(timed=False)]))
    assert plain["schema"] == "compress.sensitivity/1"
    assert [row["sqnr"] for row in plain["rankings"][0]["layers"]] == [pytest.approx(20), pytest.approx(40), None]
    assert plain["rankings"][0]["layers"][0]["latency"] is None


def test_csv_leaves_cells_empty_for_what_was_not_measured():
    [first, _, last] = csv.DictReader(to_csv([ranking(timed=False)]).splitlines())
    assert (first["rank"], first["layer"], first["latency_ratio"], last["sqnr_db"]) == ("1", "a<b", "", "")
    assert float(first["loss"]) == pytest.approx(0.2)


def test_plots_number_every_layer_and_name_the_worst():
    svg = sensitivity_plot.noise_latency(ranking())
    assert "1 a&lt;b" in svg
    assert "2 slow" in svg
    assert "surely costs accuracy" in svg
    assert "still" not in svg  # it has no place on an axis of decibels


def test_without_times_there_is_no_plot_against_them_but_the_rows_stay():
    assert sensitivity_plot.noise_latency(ranking(timed=False)) is None
    rows = sensitivity_plot.rows(ranking(timed=False))
    assert "still" in rows
    assert "time saved" not in rows.split("aria-label")[1].split(">", 1)[1]


@pytest.mark.parametrize("show", [sensitivity_report.summary, lambda found: sensitivity_report.page("run", [found])])
def test_where_the_int8_comes_from_is_said(show):
    found = replace(ranking(), method={"int8": "its int8 is made for this ranking"})
    assert "Its int8 is made for this ranking." in show(found)


def test_the_page_escapes_names_and_marks_rows():
    page = sensitivity_report.page("run<1>", [ranking()])
    assert "run&lt;1&gt;" in page
    assert "<td>a&lt;b</td>" in page
    assert '<tr class="costs">' in page
    assert '<tr class="slower">' in page
    assert "1.00x [0.90, 1.10] as fast as float" in page
