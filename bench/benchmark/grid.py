"""A table of cells, the same for a terminal, a document and a page; and how figures look in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from compress.bench import words
from compress.bench.benchmark.results import Doubt
from compress.bench.figures import Interval

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


class Load(Protocol):
    """What was measured with so many threads and, where the length of a call matters, samples in it."""

    @property
    def threads(self) -> int: ...


def titled(title: str, items: Sequence[Load]) -> str:
    """``memory, 1 thread, batch 1``: the title with what is common to the loads of all ``items``."""
    return ", ".join([title, *(next(iter(told)) for told in _parts(items) if len(told) == 1)])


def own_load(item: Load, items: Sequence[Load]) -> str:
    """``, batch 8``: what of an item's load the title of ``items`` does not say."""
    return "".join(f", {next(iter(own))}" for own, of in zip(_parts([item]), _parts(items), strict=True) if len(of) > 1)


def _parts(items: Sequence[Load]) -> list[set[str]]:
    threads = {words.counted(item.threads, "thread") for item in items}
    batches = {f"batch {item.batch}" for item in items if hasattr(item, "batch")}
    return [threads, batches]


def listed(doubts: Iterable[Doubt]) -> str:
    """``governor, time ran out``: each word once."""
    return ", ".join(dict.fromkeys(doubt.word for doubt in doubts))


def sized(value: int | None, scale: float) -> Entry:
    """Bytes in the unit of their table."""
    if value is None:
        return DASH
    return Entry(f"{value:,}" if scale == 1 else words.grouped(value / scale), value=value)
