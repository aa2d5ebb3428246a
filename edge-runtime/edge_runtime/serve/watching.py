"""The monitor and the captures of a home (``watch.observers``) as a server's observer: with what they have to tell."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from edge_runtime.watch.alarms import Alarm
from edge_runtime.watch.observers import Observers


class Watching(Observers):
    """``Observers`` that an administrator can ask."""

    def status(self) -> dict[str, Any]:
        """``alarms``: those that are over, oldest first, and then those that are on. ``notes``: what went wrong."""
        if self.monitor is None or self.captures is None:
            return {"alarms": [], "notes": []}
        return {
            "alarms": [_told(alarm) for alarm in self.monitor.alarms()],
            "notes": [*self.monitor.notes, *self.captures.notes],
        }


def _told(alarm: Alarm) -> dict[str, Any]:
    return {"on": alarm.ended is None, "text": str(alarm)} | asdict(alarm)
