"""The tables: they fit, they say what is doubtful, and they never print a zero for nothing."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import benchmark_example as example
import pytest
from rich.console import Console

from compress.bench.benchmark import spreadsheet, table
from compress.bench.benchmark.analyse import analyse
from compress.bench.benchmark.answer import headlines
from compress.bench.benchmark.results import Refused


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


def test_columns_are_left_out_by_their_rank_and_never_the_answer(benchmark):
    one = replace(benchmark, cells=benchmark.cells[:1], cold=[], memory=[], energy=[], sustained=[])
    wide, narrow = text_at([one], 120), text_at([one], 80)
    assert "Outliers" in wide and "Outliers" not in narrow
    for said in ("Median", "Speed", "p99", "faster"):
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
    lines = text.splitlines()
    assert lines[next(i for i, line in enumerate(lines) if line.startswith("int8 ")) + 1].startswith("! still warming")


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


def test_csv_has_a_row_for_every_model_and_cell_in_si_units(benchmark):
    rows = list(csv.DictReader(io.StringIO(spreadsheet.as_csv([benchmark]))))
    assert len(rows) == len(example.plan().cells) * len(example.MODELS)
    first = rows[0]
    timing = benchmark.cells[0].timings[0]
    assert float(first["p50"]) == timing.p50.value and float(first["p50.low"]) == timing.p50.low
    assert first["p999"] == "" and first["ratio_to_first"] == ""
    assert float(first["energy.pi5-pmic.gross"]) == 0.011
    assert float(first["memory.peak"]) == benchmark.memory[0].peak


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
        "in all 6 cells: no difference to tell between int8 and pruned; all of them faster than fp32"
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
