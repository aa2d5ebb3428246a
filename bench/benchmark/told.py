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

    def __call__(self, event: dict[str, Any]) -> None:
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
