"""A table of cells, the same for a terminal, a document and a page; and how figures look in it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from compress.bench import words
from compress.bench.benchmark.results import Doubt
from compress.bench.results import Interval

Mark = Literal["", "good", "bad", "unsure", "faint"]


@dataclass(frozen=True)
class Entry:
    """``text``, with the interval ``spread`` beside or below it. ``value``: to sort by, in SI units."""

    text: str
    spread: str = ""
    value: float | str | None = None
    mark: Mark = ""


@dataclass(frozen=True)
class Head:
    """A column. ``left``: words, not numbers. ``rank``: the highest is what a narrow terminal leaves out first, 0
    stays."""

    name: str
    unit: str = ""
    left: bool = False
    rank: int = 0


@dataclass(frozen=True)
class Grid:
    """``note``: what to know of all rows; ``doubts`` about all of them; ``of_rows``: the row's own, by its index."""

    title: str
    note: str
    heads: list[Head]
    rows: list[list[Entry]]
    doubts: list[Doubt] = field(default_factory=list)
    of_rows: list[list[Doubt]] = field(default_factory=list)

    def own(self, row: int) -> list[Doubt]:
        return self.of_rows[row] if self.of_rows else []

    @property
    def doubtful(self) -> bool:
        return bool(self.doubts) or any(self.of_rows)

    def filled(self) -> Grid:
        """Without the columns of lesser rank in which there is nothing, such as that of the 99.9th percentile."""
        kept = [
            i
            for i, head in enumerate(self.heads)
            if not head.rank or any(row[i].text != DASH.text for row in self.rows)
        ]
        rows = [[row[index] for index in kept] for row in self.rows]
        return replace(self, heads=[self.heads[index] for index in kept], rows=rows)

    def explained(self) -> list[Doubt]:
        """Every doubt once, those of rows included."""
        return list(dict.fromkeys([*self.doubts, *(doubt for row in self.of_rows for doubt in row)]))


DASH = Entry(words.NO_VALUE)


def scaled(interval: Interval, scale: float) -> Entry:
    """An estimate in the unit of its column, with its interval."""
    spread = f"[{words.digits(interval.low / scale)}, {words.digits(interval.high / scale)}]"
    return Entry(words.digits(interval.value / scale), spread, interval.value)


def factor(ratio: Interval | None) -> Entry:
    """A ratio with its interval."""
    return Entry(words.times(ratio.value)[:-1], words.bracket(ratio), ratio.value) if ratio else DASH


def per_second(value: float) -> str:
    """``1,234`` or ``12.3``."""
    return f"{value:,.0f}" if value >= 1000 else words.digits(value)
