"""What a benchmark writes: one JSON object a line, each telling one thing, in the order in which it was measured.

``event`` says what is told, ``at`` when: seconds since ``begin`` on a clock that only goes forward. Whatever a line
tells is true whether or not others follow, so a file that ends early holds results all the same.

The work is done in *steps*, one after the other: ``start`` and ``done`` with ``what`` stand around a step's events. A
step that was begun and not ended (the power failed) and is done anew later begins with another ``start`` of the same
name: what the first one told is void. ``current`` leaves it out. The steps are

    model/NAME   cold/NAME   memory/NAME   peaks   CELL (single-stream/t1/b1)   profile/NAME   energy   sustain/NAME
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import ProbeError

Event = dict[str, Any]


def encode(seconds: np.ndarray) -> str:
    """Times as base64 of little-endian float32: four bytes each, good to 6 parts in 100 million."""
    return base64.b64encode(np.asarray(seconds, dtype="<f4").tobytes()).decode("ascii")


def decode(text: str) -> np.ndarray:
    """The times of ``encode``, as float64."""
    return np.frombuffer(base64.b64decode(text), dtype="<f4").astype(np.float64)


def line(event: Event) -> bytes:
    """One line of the file. Figures that are not finite, which JSON cannot hold, are an error of the writer."""
    return json.dumps(event, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"


def read(path: Path) -> list[Event]:
    """All events of a file; a last line that was cut off is left out. Raises ProbeError for what is no such file."""
    found = []
    lines = path.read_bytes().split(b"\n")
    for number, text in enumerate(lines[:-1], 1):
        try:
            event = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ProbeError(f"{path}: line {number} is no event: {error}") from None
        if not isinstance(event, dict) or not isinstance(event.get("event"), str):
            raise ProbeError(f"{path}: line {number} is no event: it is no object with a name")
        found.append(event)
    return found


def finished(events: Iterable[Event]) -> set[str]:
    """The steps that are done."""
    return {event["what"] for event in events if event["event"] == "done"}


def current(events: Iterable[Event]) -> list[Event]:
    """What holds: without the events of a step that was done anew later, and without progress."""
    steps: dict[str, int] = {}
    told: list[tuple[str | None, int, Event]] = []
    step, turn = None, 0
    for event in events:
        kind = event["event"]
        if kind in ("begin", "end"):
            step = None
        elif kind == "start":
            step = event["what"]
            turn = steps[step] = steps.get(step, 0) + 1
        if kind != "progress":
            told.append((step, turn, event))
        if kind == "done":
            step = None
    return [event for step, turn, event in told if step is None or steps[step] == turn]
