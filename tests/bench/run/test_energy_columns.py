"""Energy in a run's table: by sensor, gross and net; none with its reason; modelled figures marked."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest
from html_page import Page
from rich.console import Console

from compress.bench.figures import Interval
from compress.bench.run.report import render
from compress.bench.run.results import Energy, from_json, to_json
from compress.bench.run.table import as_csv, markdown, place_tables, terminal

SOURCE = "processor packages, and memory"


def sensed(joules, sensor="rapl", **more):
    gross, net = (Interval(j, 0.98 * j, 1.03 * j) for j in (joules, joules / 2))
    fields = {"gross": gross, "net": net, "windows": 5, "windows_asked": 5, "resolution": {"step": 6.1e-5}}
    return Energy(sensor, SOURCE, **fields | more)


def modelled(joules):
    return Energy("model", "modelled, not measured: 5 W, as given", False, gross=Interval(joules, joules, joules))


@pytest.fixture
def having(results):
    """``having(*energies)``: the example with these on every variant that was measured."""

    def having(*energies):
        rows = [replace(v, energy=list(energies)) if v.latency else v for v in results.variants]
        return replace(results, variants=rows)

    return having


def heads(results, place=1):
    return [f"{name}, {unit}" if unit else name for name, unit in place_tables(results)[place].headings]


def test_a_run_that_was_not_asked_has_no_column(results):
    assert not [head for head in heads(results) if "nergy" in head]
    assert not any(place.notes for place in place_tables(results))
    assert "nergy" not in as_csv(results)


def test_gross_and_net_stand_with_the_sensor_and_its_resolution(having):
    place = place_tables(having(sensed(0.0123)))[1]
    assert heads(having(sensed(0.0123)))[7:9] == ["Energy gross, mJ", "Energy net, mJ"]
    shown = [(cell.text, cell.spread) for cell in place.rows[0][7:9]]
    assert shown == [("12.3", "[12.1, 12.7]"), ("6.15", "[6.03, 6.33]")]
    assert f"rapl: {SOURCE} (steps of 6.1e-05)" in place.notes


def test_without_a_sensor_the_cell_says_none_and_the_note_why(having):
    none = having(Energy("none", "none", none="rapl is there, but it is root's: sudo chmod"))
    assert heads(none)[7] == "Energy"
    assert {row[7].text for row in place_tables(none)[1].rows} == {"none"}
    for text in (markdown(none), "".join(Page(render(none)).text)):
        assert "energy none: rapl is there, but it is root's: sudo chmod" in text


def test_a_sensor_that_measured_nothing_is_none_as_well(having):
    still = sensed(1.0, gross=None, net=None, none="the counter stood still", windows=0)
    place = place_tables(having(still))[1]
    assert [cell.text for cell in place.rows[0][7:9]] == ["none", "none"]
    assert "rapl: the counter stood still" in place.notes


def test_what_was_modelled_is_marked_and_has_no_net(having):
    both = having(Energy("none", "none", none="no sensor found"), modelled(0.002))
    assert heads(both)[7:9] == ["Energy", "Energy modelled, mJ"]
    assert place_tables(both)[1].rows[0][8].text == "2.00"
    assert "modelled, not measured: 5 W, as given" in place_tables(both)[1].notes


def test_several_sensors_have_columns_of_their_own(having):
    found = heads(having(sensed(0.01), sensed(0.03, "meter:/dev/ttyUSB0")))
    assert found[7:11] == [
        "Energy rapl gross, mJ", "Energy rapl net, mJ", "Energy meter:/dev/ttyUSB0 gross, mJ",
        "Energy meter:/dev/ttyUSB0 net, mJ",
    ]  # fmt: skip


def test_what_went_wrong_is_said_once_with_the_steps_that_it_touched(having):
    notes = place_tables(having(sensed(0.01, windows=4, warnings=["the idle baseline is unsteady"])))[1].notes
    steps = "teacher, prune, distill, quantize int8"
    assert notes[2:] == [f"{steps}: rapl: the idle baseline is unsteady", f"{steps}: rapl: 4 of 5 windows"]


def test_what_was_not_measured_has_no_energy(having):
    assert not [head for head in heads(having(sensed(0.01)), place=3) if "nergy" in head]


def test_the_csv_has_joules_by_sensor(having):
    row = list(csv.DictReader(io.StringIO(as_csv(having(sensed(0.0123), modelled(0.002))))))[1]
    assert float(row["energy.rapl.gross.value"]) == 0.0123
    assert float(row["energy.rapl.net.low"]) == 0.98 * 0.0123 / 2
    assert float(row["energy.model (modelled).gross.value"]) == 0.002


@pytest.mark.parametrize("width", [50, 80, 92, 100, 125, 160])
def test_the_terminals_table_fits_and_loses_no_figure(having, width):
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(terminal(having(sensed(0.0123), modelled(0.002)), width))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= width
    for figure in ("12.3", "6.15", "2.00"):
        assert figure in text


def test_the_results_are_read_back_as_they_were(having):
    found = having(sensed(0.0123), modelled(0.002))
    assert from_json(to_json(found)) == found
