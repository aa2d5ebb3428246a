"""Removing versions that no longer serve a purpose. Kept are the current one (on trial or not), the previous one, to
which a rollback goes, and the last that was committed.

What cannot be removed, as another user has made it, is noted in the history and stays: it hinders nothing but space.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from edge_runtime.errors import HomeError
from edge_runtime.update import clock, durable, history
from edge_runtime.update.home import Home
from edge_runtime.update.recovery import recover
from edge_runtime.update.state import State


def gc(home: Home, *, now: clock.Wall = time.time) -> list[str]:
    """Remove them. Returns their ids. Raises HomeBusyError while an install is going on, HomeError for what stays."""
    home.expect()
    home.make()
    with home.installing(), home.locked():
        found = recover(home, now())
        stuck = clear_staging(home)
        gone = collect(home, found, now())
        kept = {found.current, found.previous, found.good}
        stuck += [path for path in home.versions.iterdir() if path.name not in kept]
    if stuck:
        raise HomeError(
            f"{stuck[0]}{f' and {len(stuck) - 1} more' if len(stuck) > 1 else ''}: cannot be removed; "
            f"remove it as root, or give it back with `chown -R`"
        )
    return gone


def collect(home: Home, found: State, now: float) -> list[str]:
    """The same for whoever holds both locks. A version leaves by one rename: it is never there in part."""
    kept = {found.current, found.previous, found.good}
    gone, stuck = [], []
    for path in sorted(home.versions.iterdir()):
        if path.name in kept:
            continue
        leaving = free(home.staging / f"{path.name}.gone")
        if _done(lambda path=path, leaving=leaving: durable.move(path, leaving)):
            gone.append(path.name)
            _done(lambda leaving=leaving: durable.remove(leaving))
        else:
            stuck.append(path.name)
    if gone:
        history.note(home.root, now, "removed", ids=gone)
    if stuck:
        history.note(home.root, now, "stuck", ids=stuck, reason="cannot be removed; see who owns them")
    return gone


def clear_staging(home: Home) -> list[Path]:
    """Remove what an interrupted install has left. Returns what cannot be removed."""
    return [path for path in home.staged() if not _done(lambda path=path: durable.remove(path))]


def free(path: Path) -> Path:
    """``path``, or one like it that is free: there may be what another user has left."""
    number, found = 0, path
    while found.exists() or found.is_symlink():
        number += 1
        found = path.with_name(f"{path.name}.{number}")
    return found


def _done(change: Callable[[], None]) -> bool:
    try:
        change()
    except OSError:
        return False
    return True
