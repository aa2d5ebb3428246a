"""The monitor and the captures of a home, as the one thing that a server tells of its inferences.

    seers = Observers(home)
    seers.serve(contents, version)     # at the start, and after every switch to another version
    seers.observe(inputs, outputs, seconds, version)
    seers.close()

What is watched lies in ``<home>/watch``, what is captured in ``<home>/captures``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.bundle.contents import Contents
from edge_runtime.capture.store import Captures
from edge_runtime.errors import DriftReferenceError
from edge_runtime.limits import REFERENCE_BYTES
from edge_runtime.serve.metrics import Sample
from edge_runtime.watch.alarms import Alarm
from edge_runtime.watch.monitor import WINDOW, Monitor
from edge_runtime.watch.reference import Reference

log = logging.getLogger("edge_runtime.watch")


class Observers:
    """``observe`` before ``serve`` does nothing. ``monitor`` and ``captures`` are None until then.

    A ``version`` is whatever the server calls what answers, such as a sequence number. Another model may have the same,
    so monitor and captures are told the bundle's hash too: they never judge by one bundle what waits since another."""

    def __init__(self, home: Path, *, window: int = WINDOW, spacing: float = 0.0) -> None:
        self._home, self._window, self._spacing = Path(home), window, spacing
        self.monitor: Monitor | None = None
        self.captures: Captures | None = None
        self._serving = "", ""  # what the server calls it, and what the monitor and the captures do

    def serve(self, contents: Contents, version: str) -> None:
        """Watch this version from now on. A damaged reference is logged, and then nothing is compared with it: a model
        that works must serve."""
        reference, labels = _reference(contents), contents.manifest.labels
        name = f"{contents.manifest.sequence} ({contents.id[:12]})"
        if self.monitor is None:
            options = {"version": name, "window": self._window, "spacing": self._spacing}
            self.monitor = Monitor(reference, self._home / "watch", **options)
            folder = self._home / "captures"
            self.captures = Captures(reference, folder, version=name, id=contents.id, labels=labels)
        else:
            self.monitor.switch(reference, name)
            self.captures.switch(reference, name, labels, contents.id)
        self._serving = version, name

    def observe(self, inputs: np.ndarray, outputs: np.ndarray, seconds: float, version: str) -> None:
        if self.monitor is not None:
            name = self._named(version)
            self.monitor.observe(inputs, outputs, seconds, name)
            self.captures.observe(inputs, outputs, seconds, name)

    def labelled(self, wrong: Sequence[bool], version: str) -> None:
        """Whether this version was wrong, for samples whose true label has become known."""
        if self.monitor is not None:
            self.monitor.labelled(wrong, self._named(version))

    def metrics(self) -> list[Sample]:
        seers = [] if self.monitor is None else [self.monitor, self.captures]
        return list(chain.from_iterable(seer.metrics() for seer in seers))

    def status(self) -> dict[str, Any]:
        """``alarms``: those that are over, oldest first, and then those that are on. ``notes``: what went wrong."""
        if self.monitor is None:
            return {"alarms": [], "notes": []}
        return {
            "alarms": [_told(alarm) for alarm in self.monitor.alarms()],
            "notes": [*self.monitor.notes, *self.captures.notes],
        }

    def _named(self, version: str) -> str:
        known, name = self._serving
        return name if version == known else version

    def close(self) -> None:
        if self.monitor is not None:
            self.monitor.close()
            self.captures.close()


def _told(alarm: Alarm) -> dict[str, Any]:
    return {"on": alarm.ended is None, "text": str(alarm)} | asdict(alarm)


def _reference(contents: Contents) -> dict[str, Any] | None:
    """A bundle's drift reference; None where it has none, or one that cannot be read, which is logged."""
    name = contents.manifest.reference
    if name is None:
        return None
    try:
        with contents.file(name).open("rb") as stream:
            data = stream.read(REFERENCE_BYTES + 1)
        if len(data) > REFERENCE_BYTES:
            raise DriftReferenceError(f"{name} is longer than {REFERENCE_BYTES} bytes; bundle the model again")
        summary = json.loads(data)
        Reference(summary)
    except (OSError, ValueError, RecursionError, DriftReferenceError) as error:
        log.warning("inputs are not compared with anything: %s", error)
        return None
    return summary
