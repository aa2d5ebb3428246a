"""The state's file: it comes back as it went, and nothing else is taken for one. What is made again when it is lost."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from bundles import make_bundle
from updates import NOW, installed, state_of

from edge_runtime.update import state
from edge_runtime.update.recovery import DAMAGED, recover
from edge_runtime.update.rollback import rollback
from edge_runtime.update.state import Served, State, Trial
from edge_runtime.update.trial import begin

A, B, C = "a" * 64, "b" * 64, "c" * 64
FULL = State(
    current=A,
    previous=B,
    good=B,
    trial=Trial(2, 100, 600.0, ("failures", "memory"), 5, 1, "boot", 12.5, 0.01, 10**6),
    served=Served(0.01, 0.02, 10**7),
    floor=7,
    bad={C: "it crashed"},
)


@pytest.mark.parametrize("wanted", [State(), FULL, State(current=A, trial=Trial(3, 1, 0.0))])
def test_it_comes_back_as_it_went(wanted, tmp_path):
    state.save(tmp_path / "state.json", wanted)
    assert state.load(tmp_path / "state.json") == wanted


def test_no_file_is_no_state(tmp_path):
    assert state.load(tmp_path / "state.json") is None


def test_only_the_latest_bad_versions_are_remembered(tmp_path):
    bad = {f"{number:064x}": "bad" for number in range(150)}
    state.save(tmp_path / "state.json", State(bad=bad))
    assert list(state.load(tmp_path / "state.json").bad) == list(bad)[50:]


def test_the_longest_state_can_be_read_again(tmp_path):
    bad = {f"{number:064x}": "\u20ac" * 80 for number in range(100)}
    state.save(tmp_path / "state.json", State(bad=bad))
    assert len(state.load(tmp_path / "state.json").bad) == 100


def changed(**facts: object) -> bytes:
    """A state with a checksum that fits."""
    return state.sealed(json.loads(json.dumps(asdict(FULL))) | {"schema": 1} | facts)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"{}",
        changed(schema=2),
        changed(current="../../etc"),
        changed(current="A" * 64),
        changed(current=7),
        changed(previous=[]),
        changed(floor=-1),
        changed(floor=1.5),
        changed(floor=True),
        changed(bad=[]),
        changed(bad={"x": "y"}),
        changed(bad={A: 7}),
        changed(trial=[]),
        changed(trial={}),
        changed(trial={"attempts_left": -1, "good_needed": 1, "window": 1}),
        changed(trial={"attempts_left": 1, "good_needed": 1, "window": "1"}),
        changed(trial={"attempts_left": 1, "good_needed": 1, "window": 1, "judged": 5}),
        changed(served=[1]),
        b" " * 70_000,
        b"[" * 60_000,
        changed().replace(b"aaaa", b"aaba", 1),
        changed().replace(b'"floor": 7', b'"floor": 3'),
    ],
)
def test_nothing_else_is_taken_for_a_state_and_what_was_there_serves_on(content, home, bundles):
    installed(home, bundles[1], commit=True)
    second = installed(home, bundles[2], commit=True)
    home.state.write_bytes(content)
    assert begin(home).id == second
    found = state_of(home)
    assert (found.current, found.good, found.trial) == (second, second, None)
    assert (home.root / DAMAGED).read_bytes() == content


def test_a_state_that_is_lost_keeps_floor_and_bad_versions(home, bundles, tmp_path):
    installed(home, make_bundle(tmp_path, sequence=2, raise_floor=2), commit=True)
    third = installed(home, bundles[3], commit=True)
    fourth = installed(home, bundles[4], commit=True)
    rollback(home, "no good")
    home.state.unlink()
    assert begin(home).id == third
    found = state_of(home)
    assert (found.floor, dict(found.bad)) == (2, {fourth: "no good"})


def test_the_floor_is_known_from_the_committed_bundle_when_the_history_is_lost_too(home, tmp_path):
    installed(home, make_bundle(tmp_path, sequence=2, raise_floor=2), commit=True)
    home.state.unlink()
    (home.root / "history.jsonl").unlink()
    begin(home)
    assert state_of(home).floor == 2


def test_a_version_on_trial_whose_state_is_lost_is_on_trial_again(home, bundles):
    first = installed(home, bundles[1], commit=True)
    second = installed(home, bundles[2])
    home.state.unlink()
    assert begin(home).id == second
    assert (state_of(home).previous, state_of(home).trial.attempts_left) == (first, 2)


def test_a_link_that_leads_elsewhere_is_set_right(home, bundles):
    first = installed(home, bundles[1], commit=True)
    second = installed(home, bundles[2], commit=True)
    (home.root / "current").unlink()
    (home.root / "current").symlink_to("/etc")
    (home.root / "previous").unlink()
    assert begin(home).id == second
    assert (home.linked("current"), home.linked("previous")) == (second, first)


def test_recovery_of_an_empty_home_is_an_empty_state(home):
    assert recover(home, NOW) == State()
