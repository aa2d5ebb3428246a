"""One self-contained HTML page about a benchmark, on one target or several; each target has tables of its own.

Everything on it comes from :class:`~compress.bench.benchmark.results.Benchmark`, so it can be made again from
``benchmark.json``. All text is escaped by the template engine; only our own drawings and program are let through.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Template
from markupsafe import Markup

from compress.bench import page
from compress.bench.benchmark import plots
from compress.bench.benchmark.answer import headlines, left_out, machine_words
from compress.bench.benchmark.grid import Entry, Grid, Head
from compress.bench.benchmark.grids import cell_words, grids, timing
from compress.bench.benchmark.results import Benchmark
from compress.bench.benchmark.table import title
from compress.bench.run.report import flat

MOST_SPREADS = 6
"""Cells whose spread is drawn; the others' is in the tables."""
ONE_TABLE = 2
"""Cells from beyond which all their rows stand in one table, to be sorted and filtered."""


@dataclass(frozen=True)
class Part:
    """A target's part of the page."""

    benchmark: Benchmark
    title: str
    machine: str
    headlines: list[str]
    grids: list[Grid]
    figures: list[tuple[str, Markup]]
    left_out: list[str]


def render(benchmarks: Sequence[Benchmark]) -> str:
    """The report as HTML."""
    parts = [_part(benchmark, index) for index, benchmark in enumerate(benchmarks)]
    return _template().render(parts=parts, heading=heading(benchmarks))


def heading(benchmarks: Sequence[Benchmark]) -> str:
    """What was measured where, in a line."""
    models = list(dict.fromkeys(model.name for b in benchmarks for model in b.models))
    names = ", ".join(models) if len(models) <= 3 else f"{len(models)} models"
    return f"{names} on {', '.join(dict.fromkeys(b.target for b in benchmarks))}"


def _part(benchmark: Benchmark, index: int) -> Part:
    return Part(
        benchmark=benchmark,
        title=title(benchmark),
        machine=machine_words(benchmark),
        headlines=headlines(benchmark),
        grids=_gathered(benchmark),
        figures=_figures(benchmark, f"t{index}"),
        left_out=left_out(benchmark),
    )


def _gathered(benchmark: Benchmark) -> list[Grid]:
    """The tables; those of many cells are one, whose rows say their cell."""
    found = grids(benchmark)
    cells = [timing(benchmark, cell) for cell in benchmark.cells]
    if len(cells) <= ONE_TABLE:
        return found
    return [*_joined(benchmark), *found[len(cells) :]]


def _joined(benchmark: Benchmark) -> list[Grid]:
    """One table of all cells with a latency, and one of the offline ones: they have other columns."""
    joined = []
    for offline in (False, True):
        cells = [cell for cell in benchmark.cells if (cell.scenario == "offline") is offline]
        if not cells:
            continue
        scale = min((t.p50.value for cell in cells for t in cell.timings), default=None)
        tables = [timing(benchmark, cell, unit_of=scale) for cell in cells]
        widest = max(tables, key=lambda grid: len(grid.heads))
        place = [Head("Scenario", left=True), Head("Threads"), Head("Batch")]
        heads = [widest.heads[0], *place, *widest.heads[1:]]
        rows, of_rows = [], []
        for cell, grid in zip(cells, tables, strict=True):
            where = [
                Entry(cell.scenario, value=cell.scenario),
                Entry(str(cell.threads), value=cell.threads),
                Entry(str(cell.batch), value=cell.batch),
            ]
            for number, row in enumerate(grid.rows):
                padding = [Entry("–")] * (len(widest.heads) - len(row))
                rows.append([row[0], *where, *row[1:], *padding])
                of_rows.append([*cell.doubts, *grid.own(number)])
        words = "throughput of all streams at once" if offline else "time of a call"
        firsts = dict.fromkeys(cell.timings[0].model for cell in cells if len(cell.timings) > 1)
        note = f"speed against {', '.join(firsts)}" if firsts else ""
        joined.append(Grid(f"all cells: {words}", note, heads, rows, benchmark.doubts, of_rows).filled())
    return joined


def _figures(benchmark: Benchmark, name: str) -> list[tuple[str, Markup]]:
    """(caption, drawing) of all there is to draw."""
    scenarios = dict.fromkeys(cell.scenario for cell in benchmark.cells)
    timed = [cell for cell in benchmark.cells if cell.scenario != "offline"]
    drawn: list[tuple[str, str | None]] = [
        (
            f"Single calls: {cell_words(cell)}",
            plots.spread(benchmark, cell, name=f"{name}s{number}"),
        )
        for number, cell in enumerate(timed[:MOST_SPREADS])
    ]
    drawn += [
        (f"Throughput by threads and batch, {scenario}", plots.sweep(benchmark, scenario, name=f"{name}w{number}"))
        for number, scenario in enumerate(scenarios)
    ]
    drawn += [
        ("How close to what the machine can do", plots.roofline(benchmark, name=f"{name}roofline")),
        ("From nothing to the first answer", plots.start(benchmark, name=f"{name}start")),
        ("Memory, step by step", plots.memory(benchmark, name=f"{name}memory")),
        ("Energy of an inference", plots.energy(benchmark, name=f"{name}energy")),
        ("Sustained load", plots.sustained(benchmark, name=f"{name}sustained")),
    ]
    # Safe: matplotlib escapes every label it writes, and nothing else of the results gets into a drawing.
    return [(caption, Markup(svg)) for caption, svg in drawn if svg]


def _method(benchmark: Benchmark) -> list[tuple[str, list[tuple[str, str]]]]:
    """(cells, facts): how each was measured; cells with the same facts are one entry."""
    merged: dict[tuple[Any, ...], list[str]] = {}
    for cell in benchmark.cells:
        merged.setdefault(tuple(flat(cell.method)), []).append(cell_words(cell))
    return [("; ".join(cells), list(facts)) for facts, cells in merged.items() if facts]


@cache
def _template() -> Template:
    engine = page.engine()
    engine.filters |= {"facts": flat, "method": _method, "cell": cell_words}
    return engine.get_template("benchmark/report.html.j2")
