"""A version on trial: every start of a server costs it an attempt, good inferences and quiet time earn it its place.

A server calls `begin` whenever it is about to load a model, and `report` from time to time while it serves. The count
of attempts is on the disk before the model is loaded, so a model that takes the whole device down with it is left
behind after so many restarts, by code that never loads it.
"""

from __future__ import annotations

import time
from dataclasses import replace

from edge_runtime.bundle import contents
from edge_runtime.bundle.contents import Contents
from edge_runtime.errors import BundleError, HomeError, NothingInstalledError, NoWayBackError
from edge_runtime.update import clock, history
from edge_runtime.update.home import Home
from edge_runtime.update.recovery import read, recover
from edge_runtime.update.rollback import go_back, way_back, write
from edge_runtime.update.state import Served, State, Trial

FAILED_SHARE = 0.05
"""Inferences that may fail, of all."""
LEAST = 20
"""Inferences from which on that share is judged."""
CHANGE = 1.25
"""A figure of a version in service is written down again when it has changed by this factor: flash memory wears."""

IGNORED, SERVING, ON_TRIAL, COMMITTED, ROLLED_BACK, KEPT = (
    "ignored", "serving", "on-trial", "committed", "rolled-back", "kept",
)  # fmt: skip
"""What `report` answers. Ignored: it was about another version than the current one. Kept: it has failed, and stays,
since there is no version to go back to."""


def begin(
    home: Home, *, serving: str | None = None, now: clock.Wall = time.time, uptime: clock.Running = clock.uptime
) -> Contents | None:
    """The version that is to serve, about to be loaded: every one of its files has just been checked.

    A version on trial loses an attempt. One that has none left, or is damaged, is left for the version before. Where
    the disk cannot be written, no version on trial is given out, since its attempts could not be counted.
    ``serving``: the id of what the caller serves already. None is the answer while that is current: there is nothing
    to load, and nothing is counted. Raises NothingInstalledError, HomeError, HomeBusyError.
    """
    home.expect()
    with home.locked():
        try:
            return _begin(home, serving, now(), uptime())
        except OSError as error:
            return _unwritable(home, serving, error)


def report(
    home: Home,
    *,
    version: str,
    good: int = 0,
    failed: int = 0,
    crashed: bool = False,
    stopped: bool = False,
    p99: float | None = None,
    now: clock.Wall = time.time,
    uptime: clock.Running = clock.uptime,
) -> str:
    """Tell how the version with the id ``version`` is doing. Returns what has become of it.

    ``good`` and ``failed``: inferences since the last report; one that failed because of its input is neither.
    ``crashed``: it could not be loaded, or what ran it died; call `begin` again. ``stopped``: the server ends on
    purpose, and the attempt is given back. ``p99``: seconds, of late. Raises OSError, HomeBusyError.
    """
    with home.locked():
        found = recover(home, now())
        if version != found.current:
            return IGNORED
        if found.trial is None:
            _remember(home, found, good, failed, p99)
            return SERVING
        trial = _counted(found.trial, good, failed, p99, uptime())
        if crashed:
            if trial.attempts_left <= 0:
                return fail(home, found, "it crashed at every attempt", now())
            trial = _waiting(trial)
        elif stopped:
            trial = _waiting(replace(trial, attempts_left=trial.attempts_left + (found.trial.began is not None)))
        elif _too_many_failed(trial):
            total = trial.good + trial.failed
            return fail(home, found, f"{trial.failed} of {total} inferences failed", now())
        elif trial.good >= trial.good_needed and uptime().seconds - trial.began >= trial.window:
            return _finish(home, replace(found, trial=trial), now())
        if crashed or stopped or good or failed or trial.began != found.trial.began:
            write(home, replace(found, trial=trial))  # a server that has nothing to do wears no flash memory
        return ON_TRIAL


def fail(home: Home, found: State, reason: str, now: float) -> str:
    """End a trial: back to the version before, or, without one, on without a trial."""
    try:
        target = way_back(home, found)
    except NoWayBackError:
        write(home, replace(found, trial=None))
        history.note(home.root, now, "kept", id=found.current, reason=f"{reason}; no version to go back to")
        return KEPT
    go_back(home, found, target, reason, now=now)
    return ROLLED_BACK


def _begin(home: Home, serving: str | None, now: float, running: clock.Uptime) -> Contents | None:
    found = recover(home, now)
    if found.current is None:
        raise home.nothing()
    if found.current == serving:
        return None
    if found.trial and found.trial.attempts_left <= 0:
        fail(home, found, "it used up its attempts: the server did not stay up", now)
        found = recover(home, now)
    version = home.intact(found.current)
    if version is None:
        version = _past_damage(home, found, now)
        found = recover(home, now)
    if found.trial:
        left = found.trial.attempts_left - 1
        write(home, replace(found, trial=replace(_waiting(found.trial), attempts_left=left, boot=running.boot,
                                                 began=running.seconds)))  # fmt: skip
    return version


def _past_damage(home: Home, found: State, now: float) -> Contents:
    """The version before one that the disk has damaged; which is not the bundle's fault, so it is not marked bad."""
    try:
        target = way_back(home, found)
    except NoWayBackError as error:
        raise NothingInstalledError(
            f"{home.versions / str(found.current)}: the current version is damaged; install it again ({error})"
        ) from None
    go_back(home, found, target, "files of it are damaged", now=now, event="damaged", bad=False)
    return target


def _unwritable(home: Home, serving: str | None, error: OSError) -> Contents | None:
    found = read(home)
    if serving is not None and found.current == serving:
        return None
    if found.trial:
        try:
            return way_back(home, found)
        except NoWayBackError:
            pass
    version = home.intact(found.current)
    if version is None:
        raise HomeError(
            f"{home.root}: nothing here can be written ({error.strerror}), and no undamaged version is current; "
            "free some space, then install again"
        ) from error
    return version


def _waiting(trial: Trial) -> Trial:
    """Between two attempts: what the last one has earned no longer counts."""
    return replace(trial, good=0, failed=0, boot=None, began=None, p99=None)


def _counted(trial: Trial, good: int, failed: int, p99: float | None, running: clock.Uptime) -> Trial:
    if trial.began is None or trial.boot != running.boot:
        trial = replace(_waiting(trial), boot=running.boot, began=running.seconds)
    return replace(
        trial,
        good=trial.good + good,
        failed=trial.failed + failed,
        p99=trial.p99 if p99 is None else p99,
    )


def _too_many_failed(trial: Trial) -> bool:
    total = trial.good + trial.failed
    return "failures" in trial.judged and total >= LEAST and trial.failed > FAILED_SHARE * total


def _finish(home: Home, found: State, now: float) -> str:
    """Enough good inferences and enough quiet time: what is left is the limit that the bundle names."""
    manifest, trial = contents.load(home.versions / found.current).manifest, found.trial
    limit = manifest.golden["p99"]
    if "p99" in trial.judged and None not in (trial.p99, limit) and trial.p99 > limit:
        return fail(home, found, f"p99 was {trial.p99:g} s, where {limit:g} are allowed", now)
    floors = dict(found.floors)
    if manifest.raise_floor:
        floors[manifest.name] = max(floors.get(manifest.name, 0), manifest.raise_floor)
    share = trial.failed / max(1, trial.good + trial.failed)
    after = replace(
        found,
        good=found.current,
        previous=found.previous if _may_run(home, found.previous, replace(found, floors=floors)) else None,
        trial=None,
        served=Served(share, trial.p99),
        floors=floors,
    )
    write(home, after)
    facts = {"name": manifest.name, "floor": after.floor_of(manifest.name)}
    history.note(home.root, now, "committed", id=found.current, good=trial.good, failed=trial.failed, **facts)
    return COMMITTED


def _may_run(home: Home, id: str | None, after: State) -> bool:
    try:
        if id is None:
            return False
        manifest = contents.load(home.versions / id).manifest
        return manifest.sequence >= after.floor_of(manifest.name)
    except BundleError:
        return False


def _remember(home: Home, found: State, good: int, failed: int, p99: float | None) -> None:
    """Write down what a version in service does, when it is news."""
    share = failed / (good + failed) if good + failed >= LEAST else None
    old, news = found.served, {}
    if share is not None and (old.failures is None or (share > FAILED_SHARE) != (old.failures > FAILED_SHARE)):
        news["failures"] = share
    if p99 is not None and (old.p99 is None or not old.p99 / CHANGE <= p99 <= old.p99 * CHANGE):
        news["p99"] = p99
    if news:
        write(home, replace(found, served=replace(old, **news)))
