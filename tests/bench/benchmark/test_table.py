"""The tables: they fit, they say what is doubtful, and they never print a zero for nothing."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace

import benchmark_example as example
import pytest
from rich.console import Console

from compress.bench.benchmark import spreadsheet, table
from compress.bench.benchmark.analyse import analyse
from compress.bench.benchmark.answer import headlines
from compress.bench.benchmark.results import Doubt, Refused
from compress.bench.figures import Interval


def text_at(benchmarks, width):
    out = io.StringIO()
    Console(file=out, width=width, color_system=None, highlight=False).print(table.terminal(benchmarks, width))
    return out.getvalue()


def renamed(benchmark, names):
    """The benchmark with other names of its models."""
    cells = [
        replace(c, timings=[replace(t, model=names[t.model]) for t in c.timings], fastest=[names[n] for n in c.fastest])
        for c in benchmark.cells
    ]
    models = [replace(m, name=names[m.name]) for m in benchmark.models]
    parts = {
        part: [replace(item, model=names[item.model]) for item in getattr(benchmark, part)]
        for part in ("cold", "memory", "energy", "sustained")
    }
    return replace(benchmark, cells=cells, models=models, **parts)


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize("length", [4, 24, 60])
def test_it_fits_and_no_number_is_broken(benchmark, doubtful, width, length):
    names = {name: (name * 20)[:length] for name in example.MODELS}
    both = [renamed(benchmark, names), renamed(doubtful, names)]
    text = text_at(both, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for said in ("1.28", "[1.23, 1.32]", "1.60", "faster", "11.0", "340"):
        assert said in text


@pytest.mark.parametrize("width", range(72, 140, 4))
def test_a_column_is_shown_whole_or_named_as_not_shown(benchmark, width):
    names = {name: (name * 20)[:24] for name in example.MODELS}
    cell = benchmark.cells[0]
    figures = {"p999": Interval(7.77e-3, 7e-3, 8e-3), "throughput": Interval(54_321, 54_000, 55_000)}
    figures |= {"n": 1_234_567, "outliers": 33_333, "said": "no difference to tell"}
    timings = [replace(t, **figures) for t in cell.timings]
    bare = {"cold": [], "memory": [], "energy": [], "sustained": []}
    one = replace(benchmark, cells=[replace(cell, timings=timings, fastest=list(example.MODELS))], **bare)
    lines = text_at([renamed(one, names)], width).splitlines()
    assert max(map(len, lines)) <= width
    rule = next(i for i, line in enumerate(lines) if line.startswith("───"))
    hidden = re.search(r"not shown at this width: (.*?) \(table.md has them\)", " ".join(" ".join(lines).split()))
    heading = " ".join(" ".join(lines[rule - 3 : rule]).split())
    told = hidden[1].split(", ") if hidden else []
    for name, figure in {"p99.9": "7.77", "Per second": "54,321", "Calls": "1,234,567", "Outliers": "2.7"}.items():
        words = name.split()
        if name in told:
            assert words[-1] not in heading.split()
        else:
            assert words[-1] in heading.split()
            assert sum(figure in line for line in lines) == len(timings)
    for always in ("Median", "Speed", "p90", "p99"):
        assert always in heading.split()
    assert width > 100 or hidden


def test_what_is_least_asked_for_goes_first_and_never_the_answer(benchmark):
    one = replace(benchmark, cells=benchmark.cells[:1], cold=[], memory=[], energy=[], sustained=[])
    wide, narrow = text_at([one], 120), text_at([one], 72)
    assert "Outliers" in wide and "not shown" not in wide
    assert "not shown at this width: Outliers (table.md has them)" in narrow
    for said in ("Median", "Speed", "p99", "faster", "Calls"):
        assert said in narrow


def test_the_quickest_stands_first(benchmark):
    lines = text_at([benchmark], 120).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("single-stream, 1 thread"))
    rows = [line.split()[0] for line in lines[start + 4 :][:4] if line.split() and line[0].isalpha()]
    assert rows == ["int8", "pruned", "fp32"]


def test_doubts_stand_in_the_table_itself_and_are_explained_below(doubtful):
    text = text_at([doubtful], 100)
    title = " ".join(text[text.index("single-stream") : text.index("time of one sample")].split())
    for word in ("governor", "throttled", "under-voltage", "clock moved", "others", "time ran out"):
        assert word in title
        assert f"! {word}: " in text
    assert "still warming" not in title


@pytest.mark.parametrize("width", [72, 100, 140])
def test_a_rows_own_doubts_stand_in_one_line_below_it(benchmark, width):
    words = ("still warming", "sizes assumed", "two speeds", "few rounds")
    own = [Doubt(word, f"{word}, in full") for word in words]
    cell = benchmark.cells[0]
    timings = [replace(t, doubts=own) if t.model == "int8" else t for t in cell.timings]
    text = text_at([replace(benchmark, cells=[replace(cell, timings=timings)])], width)
    lines = text[text.index("single-stream, 1 thread, batch 1\n") :].splitlines()
    row = next(i for i, line in enumerate(lines) if line.startswith("int8 "))
    nxt = next(i for i, line in enumerate(lines) if line.startswith("pruned "))
    assert lines[nxt - 1] == "  ! still warming, sizes assumed, two speeds, few rounds"
    assert nxt - row <= 3
    for word in words:
        assert f"  ! {word}: {word}, in full" in lines


def test_a_partial_benchmark_says_so_first(doubtful):
    text = text_at([doubtful], 100)
    assert text.startswith("raspberry-pi-5 (partial)")
    assert "partial: it was interrupted" in text
    assert "memory of int8" in text


def test_markdown_rows_carry_their_doubts_and_names_are_no_markup(doubtful):
    evil = renamed(doubtful, {"fp32": "a|b", "int8": "<script>", "pruned": "c"})
    text = table.markdown([evil])
    assert "a\\|b" in text and "<script>" not in text
    row = next(line for line in text.splitlines() if line.startswith("| &lt;script>"))
    assert "others" in row and "still warming" in row
    heads = [line for line in text.splitlines() if line.startswith("| Model")]
    assert heads[0].endswith("| Doubtful |")
    for line in text.splitlines():
        if line.startswith("|"):
            assert line.replace("\\|", "").count("|") >= 4


def csv_rows(benchmark, kind):
    rows = csv.DictReader(io.StringIO(spreadsheet.as_csv([benchmark])))
    return [{name: value for name, value in row.items() if value} for row in rows if row["kind"] == kind]


def test_csv_has_a_row_for_every_model_and_cell_in_si_units(benchmark):
    rows = csv_rows(benchmark, "timing")
    assert len(rows) == len(example.plan().cells) * len(example.MODELS)
    first = rows[0]
    timing = benchmark.cells[0].timings[0]
    assert float(first["p50"]) == timing.p50.value and float(first["p50.low"]) == timing.p50.low
    assert "p999" not in first and "ratio_to_first" not in first


def test_csv_gives_figures_only_in_a_row_of_their_own_load(benchmark):
    for row in csv_rows(benchmark, "timing"):
        assert not [name for name in row if name.startswith(("cold.", "memory.", "energy.", "sustained."))]
    cold, memory, energy, sustained = (
        {row["model"]: row for row in csv_rows(benchmark, kind)} for kind in ("cold", "memory", "energy", "sustained")
    )
    for found in (cold, memory, energy, sustained):
        assert list(found) == list(example.MODELS)
        assert all(row["threads"] == "1" and "scenario" not in row and "p50" not in row for row in found.values())
    assert float(cold["fp32"]["cold.total"]) == benchmark.cold[0].total.value
    assert float(memory["fp32"]["memory.peak"]) == benchmark.memory[0].peak
    assert (memory["fp32"]["batch"], "batch" in cold["fp32"]) == ("1", False)
    assert (energy["fp32"]["energy.sensor"], float(energy["fp32"]["energy.gross"])) == ("pi5-pmic", 0.011)
    assert float(sustained["int8"]["sustained.throttled_at"]) == 35


def test_csv_says_why_there_is_no_energy(events):
    without = [e for e in events if e["event"] != "energy"]
    none = {"event": "energy", "at": 9.0, "model": "fp32", "none": "rapl is there, but locked"}
    (row,) = csv_rows(analyse([*without[:-1], none, without[-1]], target="pi"), "energy")
    assert row["energy.none"] == "rapl is there, but locked" and "energy.gross" not in row


def test_sizes_have_one_unit_in_which_no_file_is_a_string_of_zeros(benchmark):
    def memory(tiny, engine):
        models = [replace(m, size=tiny) if m.name == "int8" else m for m in benchmark.models]
        used = [replace(m, engine=engine, loaded=engine, first=engine, peak=engine) for m in benchmark.memory]
        text = text_at([replace(benchmark, models=models, memory=used)], 120)
        part = text[text.index("memory, 1 thread") : text.index("energy of an inference")]
        units = next(line for line in part.splitlines() if line.startswith("Model")).split()[1:]
        return set(units), next(line for line in part.splitlines() if line.startswith("int8")).split()[1:3]

    assert memory(95, 61_000_000) == ({"kB"}, ["0.0950", "61,000"])
    assert memory(223_000, 61_000_000) == ({"MB"}, ["0.223", "61.0"])
    assert memory(95, 340) == ({"kB"}, ["0.0950", "0.340"])


def test_energy_without_a_sensor_reads_none_and_no_zero(events):
    without = [e for e in events if e["event"] != "energy"]
    none = {"event": "energy", "at": 9.0, "model": "fp32", "none": "rapl is there, but locked"}
    text = text_at([analyse([*without[:-1], none, without[-1]], target="pi")], 100)
    part = text[text.index("energy of an inference") : text.index("sustained load")]
    assert "none: rapl is there, but locked" in part
    assert "none" in part.splitlines()[-2] and "0" not in part.splitlines()[-2]


def test_modelled_energy_is_marked_in_its_cell(events):
    modelled = analyse([e for e in events if e["event"] != "energy"], target="pi", watts=5)
    text = text_at([modelled], 100)
    assert "modelled" in text[text.index("energy of an inference") :]
    assert "modelled, not measured: 5 W" in " ".join(text.split())


def test_emulated_and_hardware_have_tables_of_their_own(benchmark):
    emulated = replace(benchmark, target="qemu", emulated=True, doubts=[])
    text = text_at([benchmark, emulated], 100)
    assert "qemu (emulated)" in text
    assert "they say nothing of hardware" in text
    assert text.count("single-stream, 1 thread, batch 1") == 2


def test_headlines_name_a_fastest_only_where_there_is_one(benchmark):
    assert headlines(benchmark) == [
        "in all 6 cells: int8 and pruned are alike within 2 %; all of them faster than fp32"
    ]
    cell = benchmark.cells[0]
    alone = replace(benchmark, cells=[replace(cell, fastest=["int8"])])
    assert headlines(alone)[0].startswith("single-stream, 1 thread, batch 1: int8 is the fastest, 1.60x [1.59, 1.61]")


def test_refusals_are_told_with_their_reason(benchmark):
    refused = replace(benchmark, refused=[Refused("int8", "open", "engine-missing", "pip install openvino")])
    assert "int8, open: pip install openvino" in text_at([refused], 80)


def test_square_brackets_in_names_are_no_markup(benchmark):
    odd = renamed(benchmark, {"fp32": "[red]", "int8": "[/red]", "pruned": "[b]x"})
    text = text_at([odd], 100)
    assert "[red]" in text and "[/red]" in text
