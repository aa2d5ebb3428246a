"""Texts from outside (a model's, an engine's, a person's), made fit for a terminal and for a file of bounded size."""

from __future__ import annotations

import json


def printable(text: str) -> str:
    """The text on one line: what would end it, or command a terminal, is spelled out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def short(text: str, most: int) -> str:
    """As much of the beginning of ``printable(text)`` as takes at most ``most`` bytes in JSON of ASCII characters."""
    text = printable(text[:most])
    while (size := len(json.dumps(text)) - 2) > most:
        text = text[: min(len(text) - 1, len(text) * most // size)]
    return text
