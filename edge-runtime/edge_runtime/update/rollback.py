"""Going back to the version before: by hand, because a version on trial has failed, or because one is damaged."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from edge_runtime import limits
from edge_runtime.bundle.contents import Contents
from edge_runtime.errors import NoWayBackError
from edge_runtime.update import clock, durable, history, state
from edge_runtime.update.home import Home
from edge_runtime.update.recovery import follow, recover
from edge_runtime.update.state import Policy, State
from edge_runtime.words import short


def rollback(home: Home, reason: str = "by hand", *, now: clock.Wall = time.time) -> Contents:
    """Go back to the version before the current one, which is marked bad. Returns what is current now.

    Raises NothingInstalledError, HomeError, or NoWayBackError when there is no version to go back to or the floor
    forbids it; then nothing has changed.
    """
    home.expect()
    home.check()
    with home.locked():
        found = recover(home, now())
        if found.current is None:
            raise home.nothing()
        target = way_back(home, found)
        go_back(home, found, target, reason, now=now())
        return target


def way_back(home: Home, found: State) -> Contents:
    """The version to go back to: undamaged, not bad, and not below the floor. Raises NoWayBackError."""
    refusals = []
    for id in dict.fromkeys((found.previous, found.good)):
        if id is None or id == found.current:
            continue
        version = home.intact(id)
        if version is None:
            refusals.append(f"{id[:12]} is damaged")
        elif id in found.bad:
            refusals.append(f"{id[:12]} is marked bad")
        elif version.manifest.sequence < (floor := found.floor_of(version.manifest.name)):
            refusals.append(f"{id[:12]} has sequence {version.manifest.sequence}, below the floor {floor}")
        else:
            return version
    why = "; ".join(refusals) or "there is no version before this one"
    raise NoWayBackError(f"{home.root}: {why}; install another bundle")


def go_back(
    home: Home, found: State, target: Contents, reason: str, *, now: float, event: str = "rolled-back", bad: bool = True
) -> State:
    """Make ``target`` current. ``bad``: mark the version left behind, so that it is not installed again.

    What a trial goes back to was committed, and is done with trials, unless it was on trial itself when the other came.
    """
    left = found.current
    proven = found.trial is None or target.id == found.good
    after = replace(
        found,
        current=target.id,
        previous=None,
        good=found.good if found.good not in (None, left) else target.id if proven else None,
        trial=None if proven else Policy().trial(),
        bad=marked(found.bad, left, reason) if bad and left else found.bad,
    )
    write(home, after)
    facts = {"bad": reason} if bad else {}
    history.note(home.root, now, event, id=left, to=target.id, reason=reason, **facts)
    return after


def write(home: Home, after: State) -> None:
    """One state after another: the file first, which decides, then the links. Makes room once if the disk is full.

    Raises OSError when the file cannot be replaced. Links that cannot be set are left to the next `recover`: what is
    decided is decided.
    """
    try:
        state.save(home.state, after)
    except OSError:
        make_room(home)
        state.save(home.state, after)
    try:
        follow(home, after)
    except OSError:
        make_room(home)
        with suppress(OSError):
            follow(home, after)


def marked(bad: Mapping[str, str], id: str, reason: str) -> dict[str, str]:
    """The versions that are bad, with one more; the latest is the last."""
    return {other: why for other, why in bad.items() if other != id} | {id: short(reason, limits.REASON_LENGTH)}


def make_room(home: Home) -> None:
    """Remove what no version needs. A running install fails by this, and says so: its turn comes again."""
    with suppress(OSError):
        for path in home.staged():
            with suppress(OSError):
                durable.remove(path)
