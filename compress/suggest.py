"""Did-you-mean: the nearest allowed name to the one a person typed."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, names: Iterable[str], listed: str = "allowed") -> str:
    """`did you mean 'ratio'? allowed: ratio, macs`, without the question where nothing is near."""
    names = list(names)
    near = get_close_matches(str(name).lower(), [n.lower() for n in names], n=1, cutoff=0.6)
    question = next((f"did you mean '{n}'? " for n in names if near and n.lower() == near[0]), "")
    return f"{question}{listed}: {', '.join(names)}"
