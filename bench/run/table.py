"""The same table three ways: for a terminal (rich), for a document (markdown) and for a program (csv).

A table is cut by place (target and runtime), because ratios are formed within a place only. Units stand in the
headings and are chosen per place, so that numbers in a column can be compared by eye. The terminal's table needs no
colour to be understood. Below ``INLINE_WIDTH`` columns the intervals move to a second line, and below ``TABLE_WIDTH``
every variant becomes a short list instead of a row, because a number broken in two is another number.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from compress.bench import words
from compress.bench.csv_rows import csv_text
from compress.bench.markdown import escape, pipes
from compress.bench.run import energy_columns
from compress.bench.run.results import Results, Variant, Verdict, places

INLINE_WIDTH = 116
STACKED_WIDTH = 92
TABLE_WIDTH = 80
USUAL = 7
"""Columns of every table before its last; the widths are theirs."""
# Blue and orange differ for every common kind of colour blindness, and the words stand there anyway.
STYLES = {"paid": "bold blue", "did not pay": "bold dark_orange", "cannot tell": "bold", "not measured": "dim"}
MET_STYLES = {True: "bold blue", False: "bold dark_orange", None: "bold"}


@dataclass(frozen=True)
class Cell:
    """``text``, with the interval ``spread`` beside or below it."""

    text: str
    spread: str = ""


@dataclass(frozen=True)
class PlaceTable:
    """One target and runtime: ``headings`` as (name, unit), a row of cells for every variant, and its verdicts.

    ``notes``: what to know of the columns.
    """

    title: str
    subtitle: str
    headings: list[tuple[str, str]]
    rows: list[list[Cell]]
    verdicts: list[Verdict]
    missing: list[str | None]
    notes: list[str]

    def added(self, layout: Literal["folded", "stacked", "inline"]) -> int:
        """Characters that the columns take which not every table has: with their intervals folded, below, or beside."""
        total = 0
        for index, (name, _) in list(enumerate(self.headings))[USUAL:-1]:
            cells = [row[index] for row in self.rows]
            widths = {
                "folded": [len(cell.text) for cell in cells],
                "stacked": [max(len(cell.text), len(cell.spread)) for cell in cells],
                "inline": [len(f"{cell.text} {cell.spread}") for cell in cells],
            }
            total += 2 + max([*map(len, name.split()), *widths[layout]])
        return total

    @property
    def reasons(self) -> list[tuple[str, str, str]]:
        """(stage, verdict, reason); stages which were not measured for one and the same reason are one entry."""
        merged: dict[tuple[str, str], list[str]] = {}
        for index, verdict in enumerate(self.verdicts):
            alone = verdict.verdict == "not measured"
            merged.setdefault((verdict.verdict, verdict.reason if alone else str(index)), []).append(verdict.stage)
        reasons = {verdict.stage: verdict.reason for verdict in self.verdicts}
        return [(", ".join(stages), word, reasons[stages[0]]) for (word, _), stages in merged.items()]


def place_tables(results: Results) -> list[PlaceTable]:
    """The results cut by place, in the order the places first appear; variants in the order of their steps."""
    groups: dict[tuple[str, str], list[Variant]] = {}
    for variant in results.variants:
        groups.setdefault(places(variant), []).append(variant)
    return [_place(sorted(group, key=lambda v: v.step), results.verdicts) for group in groups.values()]


def terminal(results: Results, width: int = 100) -> RenderableType:
    """A rich renderable for a terminal of ``width`` columns (50 at least; more where names are long)."""
    parts: list[RenderableType] = []
    for place in place_tables(results):
        render = _rich_table if width - place.added("folded") >= TABLE_WIDTH else _rich_lists
        said = [Text(line, style="dim") for line in (place.subtitle, *place.notes)]
        parts += [Text(place.title, style="bold"), *said, render(place, width)]
        parts += [_rich_reasons(place.reasons)] if place.reasons else []
        parts += [Text()]
    if results.budget:
        parts += [Text("Budget", style="bold"), _rich_budget(results)]
    return Group(*parts)


def markdown(results: Results) -> str:
    """One pipe table for every place, its verdicts and the budget."""
    lines = []
    for place in place_tables(results):
        heads = [f"{name} ({unit})" if unit else name for name, unit in place.headings]
        lines += [f"### {escape(place.title)}", "", escape(place.subtitle), ""]
        lines += [*(f"- {escape(note)}" for note in place.notes), ""] if place.notes else []
        lines += _pipes(heads, [[f"{cell.text} {cell.spread}".strip() for cell in row] for row in place.rows])
        lines += [""]
        lines += [f"- **{escape(stage)}: {word}.** {escape(reason)}" for stage, word, reason in place.reasons]
        lines += [""]
    if results.budget:
        rows = [[where, what, met(ok), by] for where, group in budget_groups(results) for what, ok, by in group]
        lines += ["### Budget", "", *_pipes(["Where", "What", "Met", "By how much"], rows), ""]
    return "\n".join(lines)


def as_csv(results: Results) -> str:
    """One row a variant; every number in SI units and full precision, columns named by path, absent values empty."""
    verdicts = {(v.target, v.runtime, v.stage): v for v in results.verdicts}
    rows = []
    for variant in results.variants:
        row = dict(_flat("", asdict(variant))) | _energy(variant)
        verdict = verdicts.get((variant.target, variant.runtime, variant.stage))
        rows.append(row | {"verdict": verdict.verdict, "reason": verdict.reason} if verdict else row)
    return csv_text(rows)


def budget_groups(results: Results) -> list[tuple[str, list[tuple[str, bool | None, str]]]]:
    """(place, lines) with lines (what, met, by how much); what was not measured for one reason is one line."""
    groups: dict[str, dict[tuple[bool | None, str], list[str]]] = {}
    for line in results.budget:
        lines = groups.setdefault(words.place(line.target, line.runtime), {})
        lines.setdefault((line.met, line.by), []).append(line.what.replace("_", " "))
    return [(where, [(", ".join(what), *key) for key, what in lines.items()]) for where, lines in groups.items()]


def met(value: bool | None) -> str:
    """A budget line's outcome in words."""
    return {True: "met", False: "not met", None: "cannot tell"}[value]


def _place(variants: list[Variant], verdicts: Iterable[Verdict]) -> PlaceTable:
    first = variants[0]
    here = [v for v in verdicts if (v.target, v.runtime) == places(first)]
    said = {v.stage: v.verdict for v in here}
    time_scale, time_unit = words.unit_of_times(v.latency.p50 for v in variants if v.latency)
    size_scale, size_unit = words.unit_of_sizes(v.size for v in variants if v.size)
    headings = [
        ("Step", ""), ("Accuracy", "%"), ("Lost vs teacher", "points"), ("Median", time_unit),
        ("Speed vs teacher", "x"), ("File", size_unit), ("Memory", "MB"),
        *energy_columns.headings(variants), ("Did it pay?", ""),
    ]  # fmt: skip
    rows = []
    for v in variants:
        latency, drop = v.latency, v.accuracy and v.accuracy.drop_vs_teacher
        speed = latency and latency.ratio_to_teacher
        rows.append(
            [
                Cell(words.step(v)),
                _percent(v.accuracy.value, v.accuracy.interval) if v.accuracy else Cell(words.NO_VALUE),
                _percent(drop.value, drop, places=2) if drop else Cell(words.NO_VALUE),
                Cell(words.digits(latency.p50 / time_scale)) if latency else Cell(words.NO_VALUE),
                Cell(words.times(speed.value)[:-1], words.bracket(speed)) if speed else Cell(words.NO_VALUE),
                Cell(words.digits(v.size / size_scale)) if v.size else Cell(words.NO_VALUE),
                Cell(words.digits(v.memory.peak / 1e6)) if v.memory else Cell(words.NO_VALUE),
                *(Cell(*shown) for shown in energy_columns.cells(v, variants)),
                Cell("reference" if v.step == 0 else said.get(v.stage, words.NO_VALUE)),
            ]
        )
    subtitle = f"{first.threads} thread{'s' * (first.threads > 1)}, batch {first.batch}; brackets are 95 % intervals"
    missing = [v.not_measured for v in variants]
    notes = energy_columns.notes(variants)
    return PlaceTable(words.place(first.target, first.runtime), subtitle, headings, rows, here, missing, notes)


def _percent(value: float, spread, places: int = 2) -> Cell:
    narrow = max(places - 1, 1) if abs(value) > 0.1 else places
    return Cell(f"{100 * value:.{places}f}", f"[{100 * spread.low:.{narrow}f}, {100 * spread.high:.{narrow}f}]")


def _rich_table(place: PlaceTable, width: int) -> Table:
    inline = width - place.added("inline") >= INLINE_WIDTH
    narrow = width - place.added("stacked") < STACKED_WIDTH
    table = Table(box=SIMPLE_HEAD, padding=(0, 0) if narrow else (0, 1), pad_edge=False, show_edge=False)
    last = len(place.headings) - 1
    for index, (name, unit) in enumerate(place.headings):
        heading = name if index == last and not narrow else name.replace(" ", "\n")
        text = index in (0, last)
        # Folded, a name too wide for its column is still readable; cut off, it would be another name.
        table.add_column(
            f"{heading}\n{unit}" if unit else heading,
            justify="left" if text else "right",
            no_wrap=text,
            overflow="fold",
        )
    for row, missing in zip(place.rows, place.missing, strict=True):
        cells = [_rich_cell(cell, inline, narrow and index in (0, last)) for index, cell in enumerate(row)]
        cells[last].stylize(STYLES.get(row[last].text, ""))
        table.add_row(*cells, style="dim" if missing else "")
    return table


def _rich_lists(place: PlaceTable, width: int) -> RenderableType:
    """For each variant its name and verdict, and below a line for every quantity that is known."""
    lists = Table.grid(Column(), Column(no_wrap=True), padding=(0, 2))
    for row in place.rows:
        lists.add_row(Text(row[0].text, style="bold"), Text(row[-1].text, style=STYLES.get(row[-1].text, "")))
        for (name, unit), cell in list(zip(place.headings, row, strict=True))[1:-1]:
            if cell.text != words.NO_VALUE:
                lists.add_row(f"  {name}, {unit}" if unit else f"  {name}", _rich_cell(cell, inline=True, split=False))
    return Padding(lists, (1, 0, 0, 1))


def _rich_cell(cell: Cell, inline: bool, split: bool) -> Text:
    text = Text(cell.text.replace(" ", "\n", 1) if split else cell.text)
    if cell.spread:
        text.append(f"{' ' if inline else chr(10)}{cell.spread}", style="dim")
    return text


def _rich_reasons(reasons: list[tuple[str, str, str]]) -> RenderableType:
    lines = Table.grid(padding=(0, 2))
    for stage, word, reason in reasons:
        lines.add_row(Text(stage), Text(word, style=STYLES[word]), Text(reason, style="dim" * (word == "not measured")))
    return Padding(lines, (1, 0, 0, 1))


def _rich_budget(results: Results) -> Table:
    table = Table.grid(padding=(0, 2))
    for where, lines in budget_groups(results):
        table.add_row(Text(f" {where}"))
        for what, value, by in lines:
            table.add_row(Text(f"   {what}"), Text(met(value), style=MET_STYLES[value]), Text(by))
    return table


def _pipes(heads: list[str], rows: list[list[str]]) -> list[str]:
    return pipes(heads, rows, left=(0, len(heads) - 1))


def _energy(variant: Variant) -> dict[str, object]:
    """What each sensor says, by its name as in a benchmark's CSV; or why there is none."""
    row: dict[str, object] = {}
    for energy in variant.energy:
        name = f"energy.{energy.sensor}{'' if energy.measured else ' (modelled)'}"
        figures = {what: getattr(energy, what) for what in ("gross", "net", "power", "idle")}
        row |= dict(_flat(name, {what: asdict(of) for what, of in figures.items() if of}))
        row |= {name: energy.none} if energy.none else {}
    return row


def _flat(prefix: str, value: object) -> Iterable[tuple[str, object]]:
    """(path, scalar) of nested dicts. What is a curve, a bit a sample or a list is left out: it is no column."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key not in ("percentiles", "right", "energy"):
                yield from _flat(f"{prefix}.{key}" if prefix else key, item)
    elif value is not None:
        yield prefix, value
