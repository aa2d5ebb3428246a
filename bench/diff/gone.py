"""What the older benchmark measured and the newer one did not, and what that means.

*Worse*: the newer benchmark asked for it, on the same machine, and the model refused or crashed. *Unknown*: it was not
asked for, the newer benchmark was cut off before, or it ran on another machine. A model of which nothing is left is
told once. Energy and sustained load depend on sensors and on what was asked, and are no part of this.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from compress.bench.benchmark.cells import planned
from compress.bench.benchmark.results import Benchmark
from edge_runtime.errors import ProbeError

REASON_CHARACTERS = 160


@dataclass(frozen=True, slots=True)
class Gone:
    """``what``: a model, ``model/scenario/threads/batch``, ``model/cold`` or ``model/memory``."""

    what: str
    word: Literal["worse", "unknown"]
    why: str


def gone(new: Benchmark, lost: Iterable[tuple[str, str]], elsewhere: str | None) -> tuple[Gone, ...]:
    """``lost``: (model, cell, ``cold`` or ``memory``) of the older benchmark that ``new`` has not. ``elsewhere``: why
    what is refused there says nothing of the model."""
    found: dict[str, Gone] = {}
    for model, part in lost:
        whole = _whole(new, model)
        what = model if whole else f"{model}/{part}"
        word, why = whole or _part(new, model, part)
        if word == "worse" and elsewhere:
            word, why = "unknown", f"{why}; {elsewhere}"
        found.setdefault(what, Gone(what, word, why))
    return tuple(found.values())


def partial(benchmark: Benchmark) -> str | None:
    """Why a benchmark is not whole; None where it is."""
    if benchmark.complete:
        return None
    return benchmark.why or "it did not come to its end"


Said = tuple[Literal["worse", "unknown"], str]


def _whole(new: Benchmark, model: str) -> Said | None:
    """Of a model that is gone altogether."""
    if model not in {known.name for known in new.models}:
        return "unknown", "the newer benchmark does not have this model"
    return _refused(new, model, "open")


def _part(new: Benchmark, model: str, part: str) -> Said:
    if refused := _refused(new, model, part):
        return refused
    if not _asked(new, part):
        return "unknown", "the newer benchmark was not asked for it"
    cut_off = partial(new)
    return "unknown", f"not measured in the newer benchmark{f', which is partial: {cut_off}' if cut_off else ''}"


def _refused(new: Benchmark, model: str, part: str) -> Said | None:
    for refusal in new.refused:
        if refusal.model in (model, "") and refusal.what == part:
            reason = " ".join(refusal.reason.split())
            short = reason if len(reason) <= REASON_CHARACTERS else f"{reason[: REASON_CHARACTERS - 1]}…"
            return "worse", f"refused: {short}"
    return None


def _asked(new: Benchmark, part: str) -> bool:
    if part in ("cold", "memory"):
        return bool(new.plan.get(part))
    try:
        return part in {cell.name for cell in planned(new.plan)}
    except ProbeError:
        return True  # a plan of another version: nothing is known of what was asked
