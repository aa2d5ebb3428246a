"""A benchmark in a terminal and in a document: the answer first, then tables, then what makes them doubtful.

A doubt about all rows stands in the table's own title, one about a row in that row, and what each means below the
table. Emulated targets and hardware are never in one table: every target has its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from compress.bench.benchmark.answer import headlines, left_out, machine_words
from compress.bench.benchmark.grid import Entry, Grid
from compress.bench.benchmark.grids import grids
from compress.bench.benchmark.results import Benchmark, Doubt
from compress.bench.markdown import escape, pipes

INLINE_WIDTH = 116
STYLES = {"good": "bold blue", "bad": "bold dark_orange", "unsure": "bold", "faint": "dim", "": ""}
LEAST_WIDTH, NAME_WIDTH = 10, 20
"""Characters of a column of words, and of the models' names, below which they are not squeezed."""
MEASURE = Console(width=1000)
DOUBTFUL = "bold dark_orange"


def terminal(benchmarks: Sequence[Benchmark], width: int = 100) -> RenderableType:
    """A rich renderable for a terminal of ``width`` columns; 72 at least."""
    parts: list[RenderableType] = []
    for benchmark in benchmarks:
        parts += [Text()] if parts else []
        parts += [Text(title(benchmark), style="bold"), Text(machine_words(benchmark), style="dim")]
        parts += [_hanging(line, "  ") for line in headlines(benchmark)]
        for grid in grids(benchmark):
            parts += [Text(), _title(grid), Text(grid.note, style="dim"), _rich(grid, width)]
            parts += [_hanging(f"! {doubt.word}: {doubt.text}", "  ", DOUBTFUL) for doubt in grid.explained()]
        if gone := left_out(benchmark):
            parts += [Text(), Text("not measured", style="bold"), *(_hanging(line, "  ") for line in gone)]
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
        text.append(f"  ! {_words(grid.doubts)}", style=DOUBTFUL)
    return text


def _words(doubts: Iterable[Doubt]) -> str:
    return ", ".join(_each(doubts))


def _each(doubts: Iterable[Doubt]) -> list[str]:
    return list(dict.fromkeys(doubt.word for doubt in doubts))


def _rich(grid: Grid, width: int) -> Table:
    """With as many columns as fit; the last resort of a table too wide would be to hide some at random."""
    inline = width >= INLINE_WIDTH
    shown = list(range(len(grid.heads)))
    while True:
        table = _columns(grid, shown, inline)
        least = next((i for i in sorted(shown, key=lambda i: -grid.heads[i].rank) if grid.heads[i].rank), None)
        if least is None or _needs(table) <= width:
            return table
        shown.remove(least)


def _needs(table: Table) -> int:
    """Characters that a table takes at least."""
    return Measurement.get(MEASURE, MEASURE.options, table).minimum


def _columns(grid: Grid, shown: list[int], inline: bool) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False, show_edge=False)
    for index in shown:
        head = grid.heads[index]
        name = head.name if inline or head.left else head.name.replace(" ", "\n")
        heading = "\n".join(part for part in (name, head.unit) if part)
        if head.left:
            least = min(LEAST_WIDTH if index else NAME_WIDTH, max(len(row[index].text) for row in grid.rows))
            table.add_column(heading, overflow="fold", min_width=least)
        else:  # rich takes a column's longest word for its least width, and cuts lines that may not be wrapped
            texts = [heading, *(_cell(row[index], inline, False).plain for row in grid.rows)]
            least = max(len(line) for text in texts for line in text.split("\n"))
            table.add_column(heading, justify="right", no_wrap=True, min_width=least)
    for number, row in enumerate(grid.rows):
        cells = [_cell(row[index], inline, grid.heads[index].left) for index in shown]
        if own := grid.own(number):
            cells[0].append("".join(f"\n! {word}" for word in _each(own)), style=DOUBTFUL)
        table.add_row(*cells)
    return table


def _cell(entry: Entry, inline: bool, left: bool) -> Text:
    text = Text(entry.text, style=STYLES[entry.mark])
    if entry.spread:
        text.append(f"{' ' if inline and not left else chr(10)}{entry.spread}", style="dim")
    return text


def _hanging(line: str, indent: str, style: str = "") -> RenderableType:
    return Padding(Text(line, style=style), (0, 0, 0, len(indent)), expand=False)


def _pipes(grid: Grid) -> list[str]:
    """With a column of doubts where there is one: rows are quoted without what stands around them."""
    heads = [", ".join(part for part in (head.name, head.unit) if part) for head in grid.heads]
    rows = [[f"{entry.text} {entry.spread}".strip() for entry in row] for row in grid.rows]
    left = [index for index, head in enumerate(grid.heads) if head.left]
    if grid.doubtful:
        left, heads = [*left, len(heads)], [*heads, "Doubtful"]
        rows = [[*row, _words([*grid.doubts, *grid.own(number)])] for number, row in enumerate(rows)]
    return pipes(heads, rows, left)
