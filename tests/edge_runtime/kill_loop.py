"""kill -9 at random moments: python kill_loop.py FOLDER --rounds 500 --seed 1, with bundles digits-*.edge in FOLDER.

In every round a process of its own does one change to a home, drawn at random: install any of the bundles, commit,
fail a trial, go back by hand, remove old versions. It is killed at a random moment of the time that this change usually
takes. Then a server starts: it must get one of the versions that may serve after this change, whole, and all of the
home must fit together. That goes on until so many have been killed before they had ended. Prints one JSON object: how
many changes were tried, how many were killed in time, by change, and how many served the old and the new version. Exit
status 1 with the first thing that is wrong.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import statistics
import sys
import time
from collections import Counter
from pathlib import Path

from updates import EAGER, NOW, make_home, passing

from edge_runtime.bundle.archive import read_signed_manifest
from edge_runtime.bundle.signature import load_public
from edge_runtime.errors import EdgeRuntimeError, NoWayBackError
from edge_runtime.update import gc, state
from edge_runtime.update.home import LINKS, Home
from edge_runtime.update.install import install
from edge_runtime.update.rollback import rollback
from edge_runtime.update.trial import begin, report

CHANGES = ("install", "install", "install", "commit", "fail", "rollback", "gc")
WAIVED = ("not-newer", "version-bad")


def change(home: Home, what: str, bundle: Path) -> None:
    if what == "install":
        install(home, bundle, selftest=passing, policy=EAGER, now=lambda: NOW, waived=WAIVED)
    elif what == "commit":
        version = begin(home)
        report(home, version=version.id, good=EAGER.good)
    elif what == "fail":
        version = begin(home)
        report(home, version=version.id, failed=1000)
    elif what == "rollback":
        rollback(home)
    else:
        gc.gc(home)


def killed(home: Home, what: str, bundle: Path, seconds: float | None) -> tuple[bool, float]:
    """Do it in a process that is killed after ``seconds``. Whether that was before its end, and how long it ran."""
    began = time.perf_counter()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            change(home, what, bundle)
            status = 0
        except NoWayBackError:
            status = 0
        except BaseException as error:
            print(f"{what}: {error!r}", file=sys.stderr)
        os._exit(status)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise SystemExit(f"{what} failed without being killed")
    return os.WIFSIGNALED(status), time.perf_counter() - began


def check(home: Home, allowed: set[str | None], before: state.State, what: str) -> str | None:
    """Start a server. The id of what it serves."""
    found = state.load(home.state) or state.State()  # as the kill has left it: it must be understood
    if found.trial and found.trial.attempts_left == 0:
        allowed = allowed | {found.previous, found.good}
    try:
        served = begin(home).id
    except EdgeRuntimeError as error:
        if None in allowed and home.linked("current") is None:
            return None
        raise SystemExit(f"{what}: nothing serves: {error}") from None
    after = state.load(home.state)
    assert after is not None
    if served not in allowed:
        raise SystemExit(f"{what}: {served} serves, where only {allowed} may")
    if [home.linked(name) for name in LINKS] != [getattr(after, name) for name in LINKS] or served != after.current:
        raise SystemExit(f"{what}: links and state differ: {after}")
    if served in after.bad:
        raise SystemExit(f"{what}: a bad version serves")
    counted = after.trial and found.trial and found.current == served and found.trial.attempts_left > 0
    if counted and after.trial.attempts_left != found.trial.attempts_left - 1:
        raise SystemExit(f"{what}: an attempt was not counted")
    if any(floor > after.floor_of(name) for name, floor in before.floors.items()):
        raise SystemExit(f"{what}: the floor sank")
    return served


def loop(folder: Path, rounds: int, seed: int) -> dict[str, object]:
    draw = random.Random(seed)
    bundles = sorted(folder.glob("digits-*.edge"))
    key = load_public(folder / "key.pub")
    home = make_home(folder / f"home-{seed}", key)
    ids = {bundle: hashlib.sha256(read_signed_manifest(bundle, [key])[1]).hexdigest() for bundle in bundles}
    usual: dict[str, list[float]] = {}
    for bundle in bundles:  # what each change takes when nobody kills it
        for what in ("install", "commit", "rollback", "install", "fail", "install", "commit", "gc"):
            usual.setdefault(what, []).append(killed(home, what, bundle, None)[1])
    typical = {what: statistics.median(times) for what, times in usual.items()}
    cut: Counter[str] = Counter()
    served = Counter({"old": 0, "new": 0})
    number = 0
    while sum(cut.values()) < rounds:
        number += 1
        what, bundle = draw.choice(CHANGES), draw.choice(bundles)
        before = state.load(home.state) or state.State()
        allowed = {before.current} | ({ids[bundle]} if what == "install" else set())
        if what in ("fail", "rollback") or (before.trial and before.trial.attempts_left == 0):
            allowed |= {before.previous, before.good} - {None}
        cut[what] += killed(home, what, bundle, draw.uniform(0, 1.3 * typical[what]))[0]
        now = check(home, allowed, before, f"round {number} of {seed}: {what}")
        served["old" if now == before.current else "new"] += 1
    return {"tried": number, "seed": seed, "killed": sum(cut.values()), "killed_in": dict(cut), **served}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(json.dumps(loop(given.folder, given.rounds, given.seed)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
