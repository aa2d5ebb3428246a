"""The record of a run: the events of ``edge_runtime.probes.program``, one JSON object a line, each written at once.

``compress bench --from FILE`` reads it. What is said beside that, and other readers leave alone: ``gpu`` in *begin*,
in *conditions* and in *memory*; ``device`` in *round*, the same calls by the device's own clock.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from edge_runtime import __version__, machine
from edge_runtime.probes import events, plan


class Record:
    """A file that is written line by line. A context manager: whatever ends the run is said in the last line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._begin = time.monotonic()
        self._stream = path.open("wb")

    def write(self, event: str, **values: Any) -> None:
        at = round(time.monotonic() - self._begin, 4)
        self._stream.write(events.line({"event": event, "at": at} | values))
        self._stream.flush()

    def begin(self, what: plan.Plan, facts: dict[str, Any]) -> None:
        self.write(
            "begin",
            schema=plan.SCHEMA,
            version=__version__,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            machine=asdict(machine.detect()),
            plan=plan.as_dict(what),
            emulated=machine.emulated(),
            resumed=False,
            gpu=facts,
        )

    def refuse(self, model: str, what: str, code: str, reason: str) -> None:
        self.write("refused", model=model, what=what, code=code, reason=reason)

    def __enter__(self) -> Record:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        why = None if kind is None else str(error) or kind.__name__
        self.write("end", complete=kind is None, why=why)
        self._stream.close()
