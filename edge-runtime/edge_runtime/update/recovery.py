"""Before anything else is done with a home: finish what a crash, or a damaged file, has left undone.

``state.json`` decides. A change of version is one replacement of that file, after which the links follow; so a crash
leaves the old state and the old links, or the new state with links that are yet to follow, and `recover` lets them.

When the state itself is missing or unreadable it is made again from what else there is: the links say which versions,
the history and the last committed bundle say the floor and which versions are bad. A version that was not committed
goes on trial again.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from dataclasses import replace

from edge_runtime import limits
from edge_runtime.bundle import contents
from edge_runtime.errors import BundleError
from edge_runtime.update import durable, history, state
from edge_runtime.update.home import LINKS, Home
from edge_runtime.update.state import ID, Policy, State
from edge_runtime.words import short

DAMAGED = "state.damaged.json"


def recover(home: Home, now: float) -> State:
    """The state, with the links as it says. Writes nothing where nothing is wrong. The home must be locked.

    Raises OSError when something must be written and cannot be.
    """
    try:
        found = state.load(home.state)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        durable.move(home.state, home.root / DAMAGED)
        found = _remade(home, now, f"state.json could not be understood: {error}")
    if found is None:
        linked = any(home.linked(name) for name in LINKS)
        found = _remade(home, now, "state.json was missing") if linked else State()
    follow(home, found)
    return found


def follow(home: Home, wanted: State) -> None:
    """Let the links lead where the state says."""
    for name in LINKS:
        if home.linked(name) != getattr(wanted, name):
            home.link(name, getattr(wanted, name))


def read(home: Home) -> State:
    """The state as far as it can be told without writing anything."""
    with suppress(ValueError, KeyError, TypeError, RecursionError, OSError):
        if (found := state.load(home.state)) is not None:
            return found
    return _from_links(home)


def _remade(home: Home, now: float, reason: str) -> State:
    made = _from_links(home)
    state.save(home.state, made)
    history.note(home.root, now, "state-remade", id=made.current, reason=reason)
    return made


def _from_links(home: Home) -> State:
    current, previous, good = (home.linked(name) for name in ("current", "previous", "good"))
    floor, floors, bad = 0, {}, {}

    def raised(name: str, to: int) -> None:
        floors[name] = max(floors.get(name, 0), to)

    with suppress(OSError):
        for event in history.events(home.root):
            id, reason = event.get("id"), event.get("bad")
            if type(event.get("floor")) is int and event["floor"] > 0:
                name = event.get("name")
                if isinstance(name, str) and len(name) <= limits.NAME_LENGTH:
                    raised(name, event["floor"])
                else:  # of before there was one for each name
                    floor = max(floor, event["floor"])
            if not isinstance(id, str) or not ID.fullmatch(id):
                continue
            if event["event"] in ("installed", "committed"):  # it was given another chance
                bad.pop(id, None)
            elif isinstance(reason, str):
                bad[id] = short(reason, limits.REASON_LENGTH)
    with suppress(BundleError, OSError):
        if good is not None and (to := (manifest := contents.load(home.versions / good).manifest).raise_floor):
            raised(manifest.name, to)
    if current in bad:  # the link was yet to follow
        current, previous = previous or good, None
        bad = {id: reason for id, reason in bad.items() if id != current}
    made = State(current, previous if previous != current else None, good, floor=floor, bad=bad, floors=floors)
    if current is not None and current != good:
        made = replace(made, trial=Policy().trial())
    return made


def is_full(error: OSError) -> bool:
    """Whether the disk, or the owner's share of it, has no room left."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
