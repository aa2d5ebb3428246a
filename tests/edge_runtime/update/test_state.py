"""The state's file: it comes back as it went, and nothing else is taken for one. What is made again when it is lost."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace

import pytest
from bundles import make_bundle
from updates import NOW, installed, state_of

from edge_runtime import limits
from edge_runtime.update import history, state
from edge_runtime.update.recovery import DAMAGED, recover
from edge_runtime.update.rollback import rollback
from edge_runtime.update.state import Served, State, Trial
from edge_runtime.update.status import status
from edge_runtime.update.trial import begin

A, B, C = "a" * 64, "b" * 64, "c" * 64
FULL = State(
    current=A,
    previous=B,
    good=B,
    trial=Trial(2, 100, 600.0, ("failures",), 5, 1, "boot", 12.5, 0.01),
    served=Served(0.01, 0.02),
    floor=7,
    bad={C: "it crashed"},
    floors={"digits": 9},
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


@pytest.mark.parametrize(
    "reason", ["x" * 900, "\u0448" * 900, "\U0001f600" * 900, "\x1b" * 900, '"' * 900, "\udc80" * 900]
)
def test_no_reason_makes_the_state_longer_than_what_is_read(reason, tmp_path):
    bad = {f"{number:064x}": reason for number in range(100)}
    path = tmp_path / "state.json"
    state.save(path, replace(FULL, bad=bad, floors={f"{number:0100}": 2**53 - 1 for number in range(20)}))
    assert path.stat().st_size <= limits.STATE_BYTES
    found = state.load(path)
    assert found.current == A and list(found.bad)[-1] == list(bad)[-1] and len(found.bad) > 90
    assert len(found.floors) == 20


def test_a_state_that_could_not_be_read_again_is_not_written(tmp_path):
    path = tmp_path / "state.json"
    state.save(path, FULL)
    with pytest.raises(OSError, match="may take"):
        state.save(path, replace(FULL, floors={f"{number:0100}": 1 for number in range(1000)}))
    assert state.load(path) == FULL


def test_a_version_that_crashes_is_left_however_many_have_failed_before_and_why(home, bundles, tmp_path):
    first = installed(home, bundles[1], commit=True)
    reason = "\u043e\u0448\u0438\u0431\u043a\u0430 \x1b[31m" * 60
    for number in range(2, 30):
        installed(home, make_bundle(tmp_path, sequence=number))
        rollback(home, reason)
    last = installed(home, make_bundle(tmp_path, sequence=30))
    assert [begin(home).id for _ in range(4)] == [last, last, last, first]
    assert not (home.root / DAMAGED).exists()
    assert all(why.isprintable() for why in state_of(home).bad.values())


def test_a_state_of_before_is_read(tmp_path):
    """With memory among the checks, and one floor for all names."""
    facts = {"schema": 1, "current": A, "previous": B, "good": B, "floor": 7, "bad": {}}
    facts["trial"] = {"attempts_left": 2, "good_needed": 100, "window": 600.0, "judged": ["failures", "p99", "memory"]}
    facts["trial"] |= {"good": 5, "failed": 1, "boot": "boot", "began": 12.5, "p99": 0.01, "memory": 10**6}
    facts["served"] = {"failures": 0.01, "p99": 0.02, "memory": 10**7}
    (tmp_path / "state.json").write_bytes(state.sealed(facts))
    found = state.load(tmp_path / "state.json")
    assert found == State(
        A, B, B, Trial(2, 100, 600.0, ("failures", "p99"), 5, 1, "boot", 12.5, 0.01), Served(0.01, 0.02), 7
    )
    assert found.floor_of("anything") == 7


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_in_the_place_of_the_state_is_damage(make, home, bundles):
    first = installed(home, bundles[1], commit=True)
    home.state.unlink()
    make(home.state)
    assert status(home)["current"]["id"] == first  # without waiting for somebody to write
    second = installed(home, bundles[2])
    assert begin(home).id == second
    assert home.state.is_file()


@pytest.mark.parametrize("name", ["history.jsonl", "lock", "install.lock"])
def test_a_pipe_in_the_place_of_another_file_is_not_waited_for(name, home, bundles):
    first = installed(home, bundles[1], commit=True)
    (home.root / name).unlink(missing_ok=True)
    os.mkfifo(home.root / name)
    installed(home, bundles[2])
    assert rollback(home).id == first


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
        changed(floors=[]),
        changed(floors={"digits": -1}),
        changed(floors={"x" * 600: 1}),
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
    assert (found.floors, dict(found.bad)) == ({"digits": 2}, {fourth: "no good"})


def test_a_state_that_is_lost_calls_no_version_bad_that_was_installed_again_since(home, bundles):
    installed(home, bundles[1], commit=True)
    second = installed(home, bundles[2], commit=True)
    rollback(home, "no good")
    installed(home, bundles[2], commit=True, waived=["version-bad"])
    home.state.unlink()
    assert begin(home).id == second
    found = state_of(home)
    assert (found.current, found.good, found.trial, dict(found.bad)) == (second, second, None, {})
    installed(home, bundles[3])
    rollback(home, "no better")
    home.state.unlink()
    begin(home)
    assert list(state_of(home).bad.values()) == ["no better"]


def test_the_floor_is_known_from_the_committed_bundle_when_the_history_is_lost_too(home, tmp_path):
    installed(home, make_bundle(tmp_path, sequence=2, raise_floor=2), commit=True)
    home.state.unlink()
    (home.root / "history.jsonl").unlink()
    begin(home)
    assert state_of(home).floors == {"digits": 2}


def test_a_floor_in_a_history_of_before_is_of_every_name(home, bundles):
    installed(home, bundles[4], commit=True)
    history.note(home.root, NOW, "committed", floor=3)
    home.state.unlink()
    begin(home)
    assert state_of(home).floor_of("letters") == 3


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
