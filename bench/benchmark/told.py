"""A device's events as progress for a person: a bar for what runs now, a line for what is done, a warning for what was
refused."""

from __future__ import annotations

from typing import Any

from compress.progress import Emit
from compress.progress import Event as Shown

LONG = ("energy", "sustain/", "single-stream/", "multi-stream/", "offline/", "batch/")
"""Steps that are worth a line when they begin."""


class Told:
    """Takes a device's events, called by its name where there are several."""

    def __init__(self, device: str, several: bool, emit: Emit) -> None:
        self._device, self._emit = device, emit
        self._prefix = f"{device}: " if several else ""
        self._alone = True

    def __call__(self, event: dict[str, Any]) -> None:
        if self._alone and _others_measure(event):
            self._alone = False
            words = "another benchmark measures on this machine: the times of both are wrong; let them take turns"
            self._emit(Shown("warning", message=f"{self._prefix}{words}"))
        shown = self._shown(event)
        if shown:
            self._emit(shown)

    def _shown(self, event: dict[str, Any]) -> Shown | None:
        kind = event["event"]
        if kind == "progress":
            return Shown("progress", self._device, round(event["done"]), round(event["of"]), message=event["what"])
        if kind == "start" and event["what"].startswith(LONG):
            return Shown("start", self._device, message=event["what"])
        if kind == "refused":
            who = event["model"] or "all models"
            return Shown("warning", message=f"{self._prefix}{who}, {event['what']}: {event['reason']}")
        if kind == "cell":
            method = event["method"]
            ended = f"{method['rounds']} rounds, ended by {method['ended_by']}"
            return Shown("line", f"{self._prefix}{event['cell']}", message=ended)
        return None


def _others_measure(event: dict[str, Any]) -> bool:
    """Whether the machine's state, at the beginning or during a cell, shows another benchmark."""
    if event["event"] == "cell":
        return any((state or {}).get("measuring") for state in (event.get("conditions") or {}).values())
    return event["event"] == "conditions" and bool(event.get("measuring"))
