"""From a bundle to a version on trial, in steps that may each be the last:

1. `_check`: length, signature, target, sequence, expiry, free space. Nothing is on the disk yet.
2. `_stage`: unpacked into ``staging``, every file's hash checked, every file and folder flushed.
3. `_place`: renamed to ``versions/<id>``. It is there whole or not at all, and nothing leads to it.
4. `_test`: the self-test, in a child process. A version that fails is marked bad and removed.
5. `_switch`: the new state is put in the place of the old one, attempts left and all; then the links follow.

Until the state is replaced the old version is current; from then on the new one is. docs/update.md has the whole story.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

from edge_runtime import machine
from edge_runtime.bundle import contents
from edge_runtime.bundle.contents import Contents
from edge_runtime.bundle.manifest import Manifest
from edge_runtime.errors import (
    BundleError,
    EdgeRuntimeError,
    SelfTestError,
    SignatureError,
    SpaceError,
    UnknownKeyError,
    UpdateError,
)
from edge_runtime.update import checks, clock, durable, gc, history, rollback, selftest
from edge_runtime.update.home import Home
from edge_runtime.update.recovery import is_full, recover
from edge_runtime.update.selftest import SelfTest
from edge_runtime.update.state import CHECKS, Policy, State
from edge_runtime.update.trial import FAILED_SHARE

ON_TRIAL, ALREADY, REPAIRED = "on-trial", "already-installed", "repaired"

Tester = Callable[..., SelfTest]
"""``selftest.run``: (version, *, timed) -> SelfTest."""


@dataclass(frozen=True)
class Outcome:
    """``result``: on-trial, already-installed, or repaired (the current version's damaged files were replaced).
    ``excused``: what the new version did worse than its bundle asks, as the version before it does too."""

    result: str
    id: str
    name: str
    sequence: int
    excused: tuple[str, ...] = ()


def install(
    home: Home,
    bundle_path: str | PathLike[str],
    *,
    now: clock.Wall = time.time,
    selftest: Tester = selftest.run,
    policy: Policy = Policy(),  # noqa: B008 (frozen)
    waived: Collection[str] = (),
) -> Outcome:
    """Install a bundle and put it on trial. ``waived``: codes of refusals in ``checks.WAIVABLE`` to pass over.

    Raises an EdgeRuntimeError when it is refused; then the version that was current still is.
    """
    if unknown := set(waived) - checks.WAIVABLE:
        raise UpdateError(f"{min(unknown)!r} cannot be waived; there are {', '.join(sorted(checks.WAIVABLE))}")
    path = Path(bundle_path)
    home.make()
    with home.installing():
        try:
            return _install(home, path, now, selftest, policy, waived)
        except OSError as error:
            kind = SpaceError if is_full(error) else UpdateError
            raise kind(
                f"{home.root}: {error}; make the disk writable again, see `edge-runtime status`, and install it again"
            ) from error
        finally:
            with suppress(OSError):
                gc.clear_staging(home)


def _install(
    home: Home, path: Path, now: clock.Wall, tester: Tester, policy: Policy, waived: Collection[str]
) -> Outcome:
    with home.locked():
        before = recover(home, now())
        gc.clear_staging(home)
        gc.collect(home, before, now())
    manifest, id, version = _check(home, path, before, now, waived)
    if version and id == before.current:
        return Outcome(ALREADY, id, manifest.name, manifest.sequence)
    if version is None:
        with _noted(home, id, now):
            staged = _stage(home, path, id)
        version = _place(home, staged, id)
    if id == before.current:
        history.note(home.root, now(), "repaired", id=id)
        return Outcome(REPAIRED, id, manifest.name, manifest.sequence)
    excused = _test(home, version, before, tester, now)
    with _noted(home, id, now):
        _switch(home, version, excused, policy, now, waived)
    return Outcome(ON_TRIAL, id, manifest.name, manifest.sequence, tuple(excused.values()))


def _check(
    home: Home, path: Path, before: State, now: clock.Wall, waived: Collection[str]
) -> tuple[Manifest, str, Contents | None]:
    """The manifest, the version's id, and the version itself where it is here already, undamaged.

    A bundle that nobody trusted has signed is refused without a line in the history: whoever can hand this device files
    could fill it with them, until it has forgotten what it is kept for.
    """
    from edge_runtime.bundle.archive import read_signed_manifest

    try:
        manifest, content = read_signed_manifest(path, home.trusted_keys())
    except SignatureError as error:
        where = f" --home {home.root}" if isinstance(error, UnknownKeyError) else ""
        raise type(error)(f"{path}: {error}{where}") from None
    id = hashlib.sha256(content).hexdigest()
    version = home.intact(id)
    with _noted(home, id, now):
        if id != before.current:
            checks.check_target(manifest, machine.detect())
            checks.check_engine(manifest)
            checks.check_sequence(manifest, id, before, _manifest(home, before.current), waived)
            checks.check_expiry(manifest, now(), waived)
        if version is None:
            checks.check_space(manifest, home.staging)
    return manifest, id, version


@contextmanager
def _noted(home: Home, id: str, now: clock.Wall) -> Iterator[None]:
    """Write into the history for what the version is refused here."""
    try:
        yield
    except EdgeRuntimeError as error:
        history.note(home.root, now(), "refused", id=id, code=error.code, reason=str(error))
        raise


def _stage(home: Home, path: Path, id: str) -> Path:
    from edge_runtime.bundle.archive import unpack

    folder = gc.free(home.staging / id)
    durable.make_folders(folder)
    staged = unpack(path, folder, home.trusted_keys(), store=durable.new_file)
    if staged.id != id:
        raise BundleError(f"{path}: has changed while it was read; install it again")
    durable.sync_folders(folder)
    return folder


def _place(home: Home, staged: Path, id: str) -> Contents:
    """Into ``versions``; in the place of one whose files are damaged."""
    target = home.versions / id
    if target.exists():
        durable.move(target, gc.free(home.staging / f"{id}.gone"))
    durable.move(staged, target)
    return contents.load(target)


def _test(home: Home, version: Contents, before: State, tester: Tester, now: clock.Wall) -> dict[str, str]:
    """The limits that the version misses as the current one does: the check, and words. Raises if it misses others."""
    manifest = version.manifest
    timed = manifest.golden["p99"] is not None
    try:
        result = tester(version, timed=timed)
        failed = selftest.failed_checks(manifest.golden, result)
        old = home.intact(before.current) if failed.keys() & {"p99", "memory"} else None
        excused = _excused(manifest, failed, old, tester, timed) if old else {}
        if condemned := [words for check, words in failed.items() if check not in excused]:
            raise SelfTestError(f"{'; '.join(condemned)}; make a bundle for this device")
        checks.check_engine_version(manifest, result.version)
    except EdgeRuntimeError as error:
        _condemn(home, version.id, error, now)
        raise
    return excused


def _excused(manifest: Manifest, failed: dict[str, str], old: Contents, tester: Tester, timed: bool) -> dict[str, str]:
    """Time and memory are this device's as much as the model's: a limit that the current version misses too, measured
    now and in the same way, says nothing against a new one. Wrong answers are never excused."""
    try:
        theirs = selftest.failed_checks(manifest.golden, tester(old, timed=timed)).keys()
    except SelfTestError:
        theirs = {"p99", "memory"}
    return {check: words for check, words in failed.items() if check in theirs and check in ("p99", "memory")}


def _condemn(home: Home, id: str, error: EdgeRuntimeError, now: clock.Wall) -> None:
    with home.locked():
        found = recover(home, now())
        facts = {}
        if isinstance(error, SelfTestError):
            rollback.write(home, replace(found, bad=rollback.marked(found.bad, id, str(error))))
            facts = {"bad": str(error)}
        history.note(home.root, now(), "refused", id=id, code=error.code, reason=str(error), **facts)
        gc.collect(home, found, now())


def _switch(
    home: Home,
    version: Contents,
    excused: dict[str, str],
    policy: Policy,
    now: clock.Wall,
    waived: Collection[str],
) -> None:
    """Let the version be the current one, on trial. The way back leads to the last version that was not on trial."""
    with home.locked():
        found = recover(home, now())  # a server may have gone back meanwhile
        old = _manifest(home, found.current)
        checks.check_sequence(version.manifest, version.id, found, old, waived)
        back = found.previous if found.trial and found.previous not in (None, version.id) else found.current
        after = replace(
            found,
            current=version.id,
            previous=back,
            trial=policy.trial(_judged(version.manifest, found, excused)),
            bad={id: reason for id, reason in found.bad.items() if id != version.id},
        )
        rollback.write(home, after)
        facts = {"name": version.manifest.name, "sequence": version.manifest.sequence, "excused": list(excused)}
        history.note(home.root, now(), "installed", id=version.id, previous=back, **facts)


def _judged(manifest: Manifest, found: State, excused: dict[str, str]) -> tuple[str, ...]:
    """What the trial judges: failures, unless they are usual here; and the bundle's p99, if the version before has been
    seen to keep it in service."""
    served, golden = found.served, manifest.golden
    kept = {
        "failures": served.failures is None or served.failures <= FAILED_SHARE,
        "p99": None not in (golden["p99"], served.p99) and served.p99 <= golden["p99"],
    }
    return tuple(check for check in CHECKS if kept[check] and check not in excused)


def _manifest(home: Home, id: str | None) -> Manifest | None:
    if id is not None:
        with suppress(BundleError):
            return contents.load(home.versions / id).manifest
    return None
