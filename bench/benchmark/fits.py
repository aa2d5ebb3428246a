"""Whether what was asked fits what a device has: said when its first events come, before anything is timed.

Sizes of axes that no model leaves open, and threads by the hundred on a few cores, would be measured without a word
and mean something else than what was meant.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from compress.errors import BenchmarkError
from compress.suggest import few
from edge_runtime.probes.plan import Plan

THREADS_A_CORE = 4
"""More of one call than so many times the machine's cores only wait for each other."""

Event = dict[str, Any]


class UnfitError(BenchmarkError):
    """A device or a model cannot take what was asked; nothing has been timed."""


def fitting(plan: Plan, axes: Collection[str], on_event: Callable[[Event], object]) -> Callable[[Event], None]:
    """``on_event``, which is called after a look at the event. ``axes``: names that a person gave sizes to.

    What it returns raises UnfitError.
    """
    models: dict[str, Event] = {}
    looked = False

    def check(event: Event) -> None:
        nonlocal looked
        if event["event"] == "begin":
            _threads(plan.threads, event.get("machine", {}).get("cores"))
        elif event["event"] == "model":
            models[event["model"]] = event
            if not looked and len(models) == len(plan.models):  # of one that was refused it cannot be told
                looked = True
                _axes(axes, models.values())
        on_event(event)

    return check


def open_axes(model: Event) -> list[str]:
    """What a size can be given for, of a ``model`` event: a name, or ``INPUT.POSITION`` where there is none."""
    return [
        axis if isinstance(axis, str) else f"{tensor['name']}.{position}"
        for tensor in model["inputs"]
        for position, axis in enumerate(tensor["shape"])
        if not isinstance(axis, int)
    ]


def _threads(wanted: Iterable[int], cores: int | None) -> None:
    if cores and (too_many := [threads for threads in wanted if threads > THREADS_A_CORE * cores]):
        raise UnfitError(
            f"--threads {too_many[0]}: the machine has {cores} core{'' if cores == 1 else 's'}, and more than "
            f"{THREADS_A_CORE * cores} threads would only wait for each other"
        )


def _axes(wanted: Collection[str], models: Iterable[Event]) -> None:
    known = list(dict.fromkeys(axis for model in models for axis in open_axes(model)))
    if unknown := [axis for axis in wanted if axis not in known]:
        left = f"open are {few(known)}" if known else "all sizes are fixed"
        raise UnfitError(f"--axis {unknown[0]}: no model leaves an axis of that name open; {left}")
