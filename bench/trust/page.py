"""Figures in a page of the documentation: what stands between two markers is written anew, the rest stays."""

from __future__ import annotations

from pathlib import Path

from compress.bench.trust.lines import lines, meanwhile, table, untold
from compress.bench.trust.outcomes import Outcomes

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
WORDS = {True: "met", False: "**not met**", None: "for information"}


def write(path: Path, found: Outcomes) -> None:
    """Exits with a message when the page has not both markers, in this order."""
    head, begin, rest = path.read_text("utf-8").partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{path} has no lines {BEGIN} and {END} for the figures to stand between")
    promises = [f"| {WORDS[met]} | {text} |" for met, text in lines(found)]
    parts = [["| | |", "|---|---|", *promises], table(found), untold(), [meanwhile(found)]]
    figures = "\n\n".join("\n".join(part) for part in parts)
    path.write_text(f"{head}{BEGIN}\n\n{figures}\n\n{END}{tail}", "utf-8")
