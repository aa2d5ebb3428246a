"""What every device does: it takes a plan with its files, runs it there, and hands back events as they come.

What runs is ``python -m edge_runtime bench plan.json -o events.jsonl`` in a fresh process, here as on a far device. Its
events are kept in ``folder/events.jsonl`` while they come, so that whatever was measured before an error, Ctrl-C or a
lost connection is there afterwards. A ``folder`` that already holds events of the same plan is gone on with: finished
parts are not measured again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from edge_runtime.probes.plan import Plan

PLAN_FILE = "plan.json"
EVENTS_FILE = "events.jsonl"

Event = dict[str, Any]
OnEvent = Callable[[Event], object]


class Device(Protocol):
    """``name`` is the target's name, as the user calls it."""

    name: str

    def run(self, plan: Plan, files: Mapping[str, Path], on_event: OnEvent, *, folder: Path) -> None:
        """Measure ``plan`` there.

        ``files``: every file that the plan needs, by its path in the plan's folder (``model.xml`` and ``model.bin``
        are two); where each lies here. ``on_event`` is called with each event, also with those of ``progress``.
        ``folder``: where ``events.jsonl`` is kept here; it is made when missing.
        Raises DeviceError, saying what to do; what came before stays in the folder.
        """
        ...
