"""kill -9 in every step of every change, and at random moments: one version serves, and it is the right one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from bundles import KEY
from updates import installed, state_of

from edge_runtime.update.home import Home
from edge_runtime.update.trial import begin

HELPERS = Path(__file__).parents[1]
ROUNDS, MANY_ROUNDS = 25, 500

pytestmark = pytest.mark.integration


def python(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(HELPERS / script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=1200,
        env=os.environ | {"PYTHONPATH": str(HELPERS)},
        check=False,
    )


def kill(home: Home, operation: str, step: str, when: str, bundle: Path | None = None) -> None:
    done = python("kill_at.py", home.root, operation, step, when, *([bundle] if bundle else []))
    assert done.returncode == -signal.SIGKILL, done.stderr or f"{step} was not reached, or has no middle"


OLD, NEW = "old", "new"


@pytest.mark.parametrize(
    ("step", "when", "serves"),
    [
        ("collect", "before", OLD),
        ("collect", "after", OLD),
        ("check", "before", OLD),
        ("check", "after", OLD),
        ("stage", "before", OLD),
        ("stage", "midway", OLD),
        ("stage", "after", OLD),
        ("place", "before", OLD),
        ("place", "midway", OLD),
        ("place", "after", OLD),
        ("self_test", "before", OLD),
        ("self_test", "after", OLD),
        ("switch", "before", OLD),
        ("switch", "midway", OLD),
        ("save", "before", OLD),
        ("save", "midway", OLD),
        ("save", "after", NEW),
        ("follow", "before", NEW),
        ("follow", "midway", NEW),
        ("follow", "after", NEW),
        ("note", "before", NEW),
        ("switch", "after", NEW),
    ],
    ids=lambda value: f"killed_in_{value}" if value not in ("before", "midway", "after", OLD, NEW) else value,
)
def test_an_install(step, when, serves, home, bundles):
    old = installed(home, bundles[1], commit=True)
    kill(home, "install", step, when, bundles[2])
    served = begin(home).id
    assert (served == old) == (serves == OLD)
    assert (state_of(home).trial is not None) == (serves == NEW)
    if serves == NEW:
        assert state_of(home).trial.attempts_left == 2
    assert installed(home, bundles[3]) == begin(home).id


@pytest.mark.parametrize("when", ["before", "midway", "after"])
@pytest.mark.parametrize(
    ("operation", "step"),
    [("rollback", "go_back"), ("rollback", "save"), ("rollback", "follow"), ("fail", "fail"), ("fail", "save")],
    ids=lambda value: f"killed_in_{value}",
)
def test_going_back(operation, step, when, home, bundles):
    first = installed(home, bundles[1], commit=True)
    second = installed(home, bundles[2], commit=operation == "rollback")
    begin(home)
    kill(home, operation, step, when)
    served = begin(home).id
    gone = when == "after" or step == "follow"
    assert served == (first if gone else second)
    assert (second in state_of(home).bad) == gone


@pytest.mark.parametrize("when", ["before", "midway", "after"])
@pytest.mark.parametrize("step", ["finish", "save"], ids=lambda step: f"killed_in_{step}")
def test_a_commit(step, when, home, bundles):
    installed(home, bundles[1], commit=True)
    second = installed(home, bundles[2])
    begin(home)
    kill(home, "commit", step, when)
    assert begin(home).id == second
    assert (state_of(home).good == second) == (when == "after")
    assert (state_of(home).trial is None) == (when == "after")


@pytest.mark.parametrize("when", ["before", "midway", "after"])
def test_the_start_of_a_server_killed_in_save(when, home, bundles):
    installed(home, bundles[1], commit=True)
    second = installed(home, bundles[2])
    kill(home, "begin", "save", when)
    assert state_of(home).trial.attempts_left == (2 if when == "after" else 3)
    assert begin(home).id == second


@pytest.mark.parametrize("when", ["before", "midway", "after"])
def test_a_removal_killed_in_collect(when, home, bundles):
    installed(home, bundles[1], commit=True)
    installed(home, bundles[2], commit=True)
    third = installed(home, bundles[3], commit=True)
    kill(home, "gc", "collect", when)
    assert begin(home).id == third
    assert installed(home, bundles[4]) == begin(home).id
    assert list(home.staging.iterdir()) == []


def kills(folder: Path, bundles: dict[int, Path], rounds: int, seed: int) -> dict[str, int]:
    for path in bundles.values():
        (folder / path.name).symlink_to(path)
    (folder / "key.pub").write_text(KEY.public.line())
    done = python("kill_loop.py", folder, "--rounds", rounds, "--seed", seed)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    return json.loads(done.stdout)


def test_kill_9_at_random_moments(tmp_path, bundles):
    told = kills(tmp_path, bundles, ROUNDS, seed=1)
    assert told["killed"] == ROUNDS
    assert told["old"] + told["new"] == told["tried"] >= ROUNDS


@pytest.mark.slow
def test_kill_9_at_500_random_moments(tmp_path, bundles):
    told = kills(tmp_path, bundles, MANY_ROUNDS, seed=int(os.environ.get("EDGE_RUNTIME_KILL_SEED", "2")))
    assert told["killed"] == MANY_ROUNDS
    assert told["old"] > 0 < told["new"]
