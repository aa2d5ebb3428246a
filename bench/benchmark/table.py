"""A benchmark in a terminal and in a document: the answer first, then tables, then what makes them doubtful.

A doubt about all rows stands in the table's own title, one about a row in that row, and what each means below the
table. Emulated targets and hardware are never in one table: every target has its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from compress.bench.benchmark.answer import headlines, left_out, machine_words
from compress.bench.benchmark.columns import DOUBTFUL, hanging, rendered
from compress.bench.benchmark.grid import Grid, listed
from compress.bench.benchmark.grids import grids
from compress.bench.benchmark.results import Benchmark
from compress.bench.markdown import escape, pipes


def terminal(benchmarks: Sequence[Benchmark], width: int = 100) -> RenderableType:
    """A rich renderable for a terminal of ``width`` columns; 72 at least."""
    parts: list[RenderableType] = []
    for benchmark in benchmarks:
        parts += [Text()] if parts else []
        parts += [Text(title(benchmark), style="bold"), Text(machine_words(benchmark), style="dim")]
        parts += [hanging(line, "  ") for line in headlines(benchmark)]
        for grid in grids(benchmark):
            parts += [Text(), _title(grid), Text(grid.note, style="dim"), *rendered(grid, width)]
            parts += [hanging(f"! {doubt.word}: {doubt.text}", "  ", DOUBTFUL) for doubt in grid.explained()]
        if gone := left_out(benchmark):
            parts += [Text(), Text("not measured", style="bold"), *(hanging(line, "  ") for line in gone)]
    return Group(*parts)


def markdown(benchmarks: Iterable[Benchmark]) -> str:
    """One section a target, one pipe table for everything that was measured there."""
    lines = []
    for benchmark in benchmarks:
        lines += [f"## {escape(title(benchmark))}", "", escape(machine_words(benchmark)), ""]
        lines += [f"- {escape(line)}" for line in headlines(benchmark)]
        for grid in grids(benchmark):
            lines += ["", f"### {escape(grid.title)}", "", escape(grid.note), "", *_pipes(grid)]
            told = [f"- **{escape(doubt.word)}**: {escape(doubt.text)}" for doubt in grid.explained()]
            lines += ["", *told] if told else []
        if gone := left_out(benchmark):
            lines += ["", "### not measured", "", *(f"- {escape(line)}" for line in gone)]
        lines += [""]
    return "\n".join(lines)


def title(benchmark: Benchmark) -> str:
    """``raspberry-pi-5``, with what must be known before any figure."""
    partial = "" if benchmark.complete else " (partial)"
    return f"{benchmark.target}{' (emulated)' if benchmark.emulated else ''}{partial}"


def _title(grid: Grid) -> Text:
    text = Text(grid.title, style="bold")
    if grid.doubts:
        text.append(f"  ! {listed(grid.doubts)}", style=DOUBTFUL)
    return text


def _pipes(grid: Grid) -> list[str]:
    """With a column of doubts where there is one: rows are quoted without what stands around them."""
    heads = [", ".join(part for part in (head.name, head.unit) if part) for head in grid.heads]
    rows = [[f"{entry.text} {entry.spread}".strip() for entry in row] for row in grid.rows]
    left = [index for index, head in enumerate(grid.heads) if head.left]
    if grid.doubtful:
        left, heads = [*left, len(heads)], [*heads, "Doubtful"]
        rows = [[*row, listed([*grid.doubts, *grid.own(number)])] for number, row in enumerate(rows)]
    return pipes(heads, rows, left)
