"""What stands in the tables and above them: titles, units, notes, and what is said of a tie."""

from __future__ import annotations

from dataclasses import replace

import benchmark_example as example
import numpy as np
import pytest

from compress.bench.benchmark import grids, table
from compress.bench.benchmark.analyse import analyse
from compress.bench.benchmark.answer import headlines
from compress.bench.benchmark.results import Floor


@pytest.mark.parametrize(
    ("said", "alike", "headline"),
    [
        (("within 2 %", "within 2 %"), ["ab", "ac", "bc"], "a, b and c are alike within 2 %"),
        (("no difference to tell", "no difference to tell"), [], "no difference to tell between a, b and c"),
        (
            ("within 2 %", "no difference to tell"),
            ["ab"],
            "none of a, b and c is shown to be 2 % faster than another (a and b are alike within 2 %)",
        ),
        (("too few rounds", "too few rounds"), [], "too few rounds to tell a, b and c apart"),
    ],
)
def test_the_headline_of_a_tie_never_says_the_opposite_of_its_rows(benchmark, said, alike, headline):
    cell = benchmark.cells[0]
    times = zip("abc", ("first", *said), sorted(cell.timings, key=lambda t: t.p50.value), strict=True)
    tied = [replace(timing, model=name, said=word) for name, word, timing in times]
    found = replace(cell, timings=tied, fastest=list("abc"), alike=[list(pair) for pair in alike])
    assert headlines(replace(benchmark, cells=[found]))[0].split(": ")[1] == headline


def test_titles_say_with_how_many_threads_and_samples_it_was_measured(events):
    def loaded(event):
        known = {"cold": {"threads": 4}, "memory": {"threads": 4}, "energy": {"threads": 4}, "sustain": {"threads": 4}}
        fixed = {"batch": 8} if event.get("model") == "int8" and event["event"] == "memory" else {}
        return event | known.get(event["event"], {}) | fixed

    found = analyse([loaded(event) for event in events], target="pi")
    text = table.markdown([found])
    for title in (
        "cold start, 4 threads",
        "energy of an inference, 4 threads, batch 1",
        "sustained load, 4 threads, batch 1",
    ):
        assert f"\n### {title}\n" in text
    assert "\n### memory, 4 threads\n" in text  # and what is not common to all stands in the rows
    assert "| int8, batch 8 |" in text and "| fp32, batch 1 |" in text


def test_energy_stands_beside_the_time_of_its_own_calls(events):
    windows = [example.encoded(np.full(9, seconds)) for seconds in (2e-3, 3e-3, 4e-3)]
    told = [e | {"calls": windows} if e["event"] == "energy" else e for e in events]
    text = table.markdown([analyse(told, target="pi")])
    part = text[text.index("energy of an inference") : text.index("sustained load")]
    assert "Call, ms" in part and "3.00 [2.00, 4.00]" in part
    assert "call: its time in these same windows" in part


def test_outliers_are_a_share_of_the_calls(benchmark):
    cell = benchmark.cells[0]
    timings = [replace(t, n=8000, outliers=count) for t, count in zip(cell.timings, (0, 1, 200), strict=True)]
    grid = grids.timing(benchmark, replace(cell, timings=timings))
    assert (grid.heads[-1].name, grid.heads[-1].unit) == ("Outliers", "%")
    assert {row[0].text: row[-1].text for row in grid.rows} == {"fp32": "0", "int8": "<0.1", "pruned": "2.5"}


def test_a_floor_within_whose_range_times_lie_is_called_no_bound(benchmark):
    cell = benchmark.cells[0]
    p50 = cell.timings[0].p50.value
    floor = Floor("fp32", cell.id, 10**6, 10**5, 0.95 * p50, 0.86 * p50, 1.06 * p50, "compute", "memory", 0.95)
    grid = grids.roofline(replace(benchmark, floors=[floor]))
    assert "can take less" not in grid.note and "only the lower end is a bound" in grid.note
    assert grid.title == "roofline, single-stream, 1 thread, batch 1"
