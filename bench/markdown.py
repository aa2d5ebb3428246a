"""Tables and texts in Markdown, with nothing in them taken for markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def pipes(heads: Sequence[str], rows: Iterable[Sequence[str]], left: Iterable[int]) -> list[str]:
    """The lines of a table; columns whose index is in ``left`` hold words, the others are aligned as numbers are."""
    left = set(left)
    rule = ["---" if index in left else "---:" for index in range(len(heads))]
    return [f"| {' | '.join(escape(cell) for cell in row)} |" for row in (heads, rule, *rows)]


def escape(text: str) -> str:
    """Keep names from becoming markup: a pipe would start a cell, a line break a row, an angle bracket a tag."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
