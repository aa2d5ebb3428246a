"""Removing versions that no longer serve a purpose. Kept are the current one (on trial or not), the previous one, to
which a rollback goes, and the last that was committed."""

from __future__ import annotations

import time

from edge_runtime.errors import NothingInstalledError
from edge_runtime.update import clock, durable, history
from edge_runtime.update.home import Home
from edge_runtime.update.recovery import recover
from edge_runtime.update.state import State


def gc(home: Home, *, now: clock.Wall = time.time) -> list[str]:
    """Remove them. Returns their ids. Raises HomeBusyError while an install is going on."""
    if not home.root.is_dir():
        raise NothingInstalledError(f"{home.root}: nothing is installed here")
    home.make()
    with home.installing(), home.locked():
        found = recover(home, now())
        clear_staging(home)
        return collect(home, found, now())


def collect(home: Home, found: State, now: float) -> list[str]:
    """The same for whoever holds both locks. A version leaves by one rename: it is never there in part."""
    kept = {found.current, found.previous, found.good}
    gone = sorted(path.name for path in home.versions.iterdir() if path.name not in kept)
    for id in gone:
        leaving = home.staging / f"{id}.gone"
        durable.move(home.versions / id, leaving)
        durable.remove(leaving)
    if gone:
        history.note(home.root, now, "removed", ids=gone)
    return gone


def clear_staging(home: Home) -> None:
    """What an interrupted install has left."""
    for path in home.staging.iterdir():
        durable.remove(path)
