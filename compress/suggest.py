"""Did-you-mean: the nearest allowed name to the one a person typed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

MOST = 8


def few(names: Sequence[str], most: int = MOST) -> str:
    """`a, b, c and 40 more`."""
    rest = len(names) - most
    return ", ".join(names) if rest <= 0 else f"{', '.join(names[:most])} and {rest} more"


def did_you_mean(name: str, names: Iterable[str], listed: str = "allowed", most: int | None = None) -> str:
    """`did you mean 'ratio'? allowed: ratio, macs`, without the question where nothing is near.

    ``most``: how many names are listed; all of them by default, as what is allowed should be known.
    """
    name, names = str(name).lower(), list(names)
    lower = [n.lower() for n in names]
    begun = [n for n in lower if len(name) > 2 and n.startswith(name)]  # 'int4' rather means int4-weights
    near = begun if len(begun) == 1 else get_close_matches(name, lower, n=1, cutoff=0.6)
    question = next((f"did you mean '{n}'? " for n in names if near and n.lower() == near[0]), "")
    return f"{question}{listed}: {few(names, most or len(names))}"
