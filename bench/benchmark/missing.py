"""What a plan asked for and nobody answered or refused: of a benchmark that was cut off, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from compress.bench.benchmark.cells import planned
from compress.bench.benchmark.events import Event
from compress.bench.benchmark.results import Refused

ASKED = {
    "cold": "cold start",
    "memory": "memory",
    "energy": "energy",
    "sustain": "sustained load",
    "profile": "profile",
}
"""Keys of the plan that are about every model: what they are called."""
ALL = ""


def missing(plan: Mapping[str, Any], kept: Mapping[str, list[Event]], refused: Sequence[Refused]) -> list[str]:
    """``kept``: the events by their names."""
    names = [model["name"] for model in plan["models"]]
    turned_down = {(refusal.model, refusal.what) for refusal in refused}

    def settled(name: str, what: str) -> bool:
        return not turned_down.isdisjoint({(name, "open"), (name, what), (ALL, what)})

    closed, begun = ({event["cell"] for event in kept[kind]} for kind in ("cell", "round"))
    left = [
        f"{cell.name} ({'cut off in the middle' if cell.name in begun else 'not begun'})"
        for cell in planned(plan)
        if cell.name not in closed and not all(settled(name, cell.name) for name in names)
    ]
    for kind, words in ASKED.items():
        answered = {event["model"] for event in kept[kind] if kind != "sustain" or event.get("done")}
        open_ = [name for name in names if name not in answered and not settled(name, kind)]
        if plan.get(kind) and open_:
            left.append(f"{words} of {', '.join(open_)}")
    peaks_due = plan.get("peaks") and not kept["peaks"] and (ALL, "peaks") not in turned_down
    return [*left, *(["the machine's peak rates"] if peaks_due else [])]
