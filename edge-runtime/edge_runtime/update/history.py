"""``history.jsonl``: what happened here, an event a line, the oldest first. It is told to people.

It decides nothing, so an event that cannot be written is lost, and what it tells of has happened all the same. Lines
are only ever added. When the file is full it becomes ``history.1.jsonl``, in the place of the one before. An event is
written after what it tells of, so a crash may cost the last one; and one that a crash has cut short is skipped.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from edge_runtime import limits
from edge_runtime.bundle.files import opened
from edge_runtime.update import clock, durable
from edge_runtime.words import short

NAME, OLDER = "history.jsonl", "history.1.jsonl"


def note(root: Path, now: float, event: str, **facts: Any) -> None:
    """Add an event, if the disk takes it."""
    path = root / NAME
    told = {k: short(value, limits.REASON_LENGTH) if isinstance(value, str) else value for k, value in facts.items()}
    line = json.dumps({"at": clock.text(now), "event": event} | told, separators=(",", ":")).encode()
    with suppress(OSError):
        if path.exists() and not path.is_file():  # a pipe would be waited for
            return
        if path.exists() and path.stat().st_size + len(line) > limits.HISTORY_BYTES:
            durable.move(path, root / OLDER)
        durable.append_line(path, line)


def events(root: Path) -> list[dict[str, Any]]:
    """All that is still remembered, the oldest first. Raises OSError."""
    found = []
    for name in (OLDER, NAME):
        try:
            with opened(root / name) as (stream, _):
                lines = stream.read(2 * limits.HISTORY_BYTES).splitlines()
        except FileNotFoundError:
            continue
        for line in lines:
            try:
                event = json.loads(line)
            except ValueError:  # cut short by a crash, or not UTF-8
                continue
            if isinstance(event, dict) and isinstance(event.get("event"), str):
                found.append(event)
    return found
