"""A table of cells in a terminal: which columns fit, how wide each is, and which are not shown.

Widths are decided here, to the character. Left to the library, a table that is too wide is squeezed until figures are
cut off, and nothing says so. What a row is doubted for stands on a line of its own below it, across all columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from compress.bench.benchmark.grid import Entry, Grid, listed

STYLES = {"good": "bold blue", "bad": "bold dark_orange", "unsure": "bold", "faint": "dim", "": ""}
DOUBTFUL = "bold dark_orange"
LEAST_WIDTH, NAME_WIDTH = 10, 20
"""Characters of a column of words, and of the models' names, below which they are not squeezed."""
GAP = 2
"""Characters between columns."""
ALWAYS = 2
"""Columns that are shown however narrow it is: the model, and the figure that the rows are sorted by."""
FULL = "table.md"
"""Where all columns are."""


@dataclass(frozen=True)
class Layout:
    """``shown``: indices of columns, ``widths`` theirs in characters. ``inline``: intervals beside their value."""

    shown: list[int]
    widths: list[int]
    inline: bool

    @property
    def total(self) -> int:
        return sum(self.widths) + GAP * (len(self.widths) - 1)


def rendered(grid: Grid, width: int) -> list[RenderableType]:
    """The table's lines, and which of its columns there was no room for."""
    layout = fit(grid, width)
    headings = [Text(_heading(grid, index, layout.inline), style="bold") for index in layout.shown]
    parts: list[RenderableType] = [
        _line(grid, layout, headings, "bottom"),
        Text("\N{BOX DRAWINGS LIGHT HORIZONTAL}" * layout.total),
    ]
    for number, row in enumerate(grid.rows):
        cells = [_cell(row[index], layout.inline, grid.heads[index].left) for index in layout.shown]
        parts.append(_line(grid, layout, cells, "top"))
        if own := grid.own(number):
            parts.append(hanging(f"! {listed(own)}", "  ", DOUBTFUL))
    if hidden := [head.name for index, head in enumerate(grid.heads) if index not in layout.shown]:
        parts.append(Text(f"not shown at this width: {', '.join(hidden)} ({FULL} has them)", style="dim"))
    return parts


def fit(grid: Grid, width: int) -> Layout:
    """With as many columns as fit: first intervals go below their value, then names are folded, then the columns of
    the highest rank are left out."""
    shown = list(range(len(grid.heads)))
    for inline in (True, False):
        layout = Layout(shown, [_natural(grid, index, inline) for index in shown], inline)
        if layout.total <= width:
            return layout
    while (layout := _squeezed(grid, shown, width)).total > width and len(shown) > ALWAYS:
        named = [index for index in shown[ALWAYS:] if grid.heads[index].name]
        if not named:
            break
        last = max(named, key=lambda index: (grid.heads[index].rank, index))
        shown = [index for index in shown if index != last]
    return layout


def hanging(line: str, indent: str, style: str = "") -> RenderableType:
    """A text whose further lines are indented as its first is."""
    # A number is not parted from its percent sign.
    return Padding(Text(line.replace(" %", "\N{NO-BREAK SPACE}%"), style=style), (0, 0, 0, len(indent)), expand=False)


def _squeezed(grid: Grid, shown: list[int], width: int) -> Layout:
    """Columns of words as narrow as it takes, the widest first."""
    widths = [_natural(grid, index, False) for index in shown]
    left = {place: index for place, index in enumerate(shown) if grid.heads[index].left}
    least = {place: min(widths[place], LEAST_WIDTH if index else NAME_WIDTH) for place, index in left.items()}
    while Layout(shown, widths, False).total > width:
        slack = [place for place in left if widths[place] > least[place]]
        if not slack:
            break
        widths[max(slack, key=lambda place: widths[place])] -= 1
    return Layout(shown, widths, False)


def _natural(grid: Grid, index: int, inline: bool) -> int:
    """Characters of a column's longest line."""
    left = grid.heads[index].left
    texts = [_heading(grid, index, inline), *(_cell(row[index], inline, left).plain for row in grid.rows)]
    return max(cell_len(line) for text in texts for line in text.split("\n"))


def _heading(grid: Grid, index: int, inline: bool) -> str:
    head = grid.heads[index]
    name = head.name if inline or head.left else head.name.replace(" ", "\n")
    return "\n".join(part for part in (name, head.unit) if part)


def _cell(entry: Entry, inline: bool, left: bool) -> Text:
    text = Text(entry.text, style=STYLES[entry.mark])
    if entry.spread:
        text.append(f"{' ' if inline and not left else chr(10)}{entry.spread}", style="dim")
    return text


def _line(grid: Grid, layout: Layout, cells: Sequence[Text], vertical: str) -> Table:
    line = Table.grid(padding=(0, GAP, 0, 0), pad_edge=False)
    for index, width in zip(layout.shown, layout.widths, strict=True):
        left = grid.heads[index].left
        line.add_column(
            justify="left" if left else "right", width=width, overflow="fold", no_wrap=not left, vertical=vertical
        )
    line.add_row(*cells)
    return line
