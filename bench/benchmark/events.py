"""A device's events, as they are read here: from a file or as they came, whole or cut off anywhere."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from compress.errors import RunError
from edge_runtime.errors import ProbeError
from edge_runtime.probes import events as told
from edge_runtime.probes.events import Event
from edge_runtime.probes.plan import SCHEMA

FILE = "events.jsonl"


def read(path: Path) -> list[Event]:
    """The events of a file, a torn last line left out. Raises RunError for a file of something else, or of none."""
    try:
        events = told.read(path)
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}; give the {FILE} of a benchmark") from error
    except ProbeError as error:
        raise RunError(f"{error}; give the {FILE} of a benchmark") from error
    return checked(events, str(path))


def checked(events: Iterable[Event], where: str) -> list[Event]:
    """``events``, if they begin as a benchmark's do, in a version that is read here. Raises RunError."""
    found = list(events)
    first = next((event for event in found if event["event"] != "progress"), None)
    if first is None or first["event"] != "begin":
        raise RunError(f"{where}: nothing was measured: there is no beginning; was the benchmark started at all?")
    if first.get("schema") != SCHEMA:
        raise RunError(
            f"{where}: its schema is {first.get('schema')!r}, and this program reads {SCHEMA!r}: use one version of "
            "edge-runtime on both machines"
        )
    return found


def settled(events: Iterable[Event]) -> list[Event]:
    """What holds of them: nothing of a step that was begun, cut off and done anew later."""
    return told.current(events)
