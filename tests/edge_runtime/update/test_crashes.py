"""A power cut at any moment of any change, with any part of what was not flushed lost: one version serves all the same.

For every scenario all disks are made that a crash can leave (`crashes`), a server is started on each of them, and what
it gets is the old or the new version, whole, with a state that fits. The crash may also come while the last one is
being repaired.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import pytest
from bundles import KEY, OTHER_KEY, make_bundle
from crashes import Image, Recorder, Unflushed, crashes
from updates import EAGER, NOW, Told, installed, make_home, passing, state_of

from edge_runtime.errors import NothingInstalledError, SelfTestError
from edge_runtime.update import durable, state, trust
from edge_runtime.update.clock import Uptime
from edge_runtime.update.gc import gc
from edge_runtime.update.home import LINKS, Home
from edge_runtime.update.install import REPAIRED, install
from edge_runtime.update.recovery import recover
from edge_runtime.update.rollback import rollback
from edge_runtime.update.status import status
from edge_runtime.update.trial import COMMITTED, ROLLED_BACK, begin, report

pytestmark = pytest.mark.integration
FLOOR = 2


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """In memory where that is possible: these tests make thousands of disks, and no call of theirs flushes anything."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="edge-runtime-crashes-") as folder:
        yield Path(folder)


@dataclass
class Scenario:
    """``change``: what the power cut comes into. ``old``, ``new``: the only versions that may serve after it."""

    change: Callable[[], object]
    old: str | None
    new: str | None
    bad: set[str] = field(default_factory=set)
    """Versions that are marked bad exactly when the new version serves."""
    parses: bool = True
    """Whether the state can be understood before it is repaired."""


def first_install(home: Home, bundles: dict[int, Path]) -> Scenario:
    new = installed(make_home(home.root.parent / "other"), bundles[1])
    return Scenario(lambda: installed(home, bundles[1]), None, new)


def update(home: Home, bundles: dict[int, Path]) -> Scenario:
    """Which removes version 1 too."""
    installed(home, bundles[1], commit=True)
    installed(home, bundles[2], commit=True)
    old = installed(home, bundles[3], commit=True)
    new = installed(make_home(home.root.parent / "other"), bundles[4])
    return Scenario(lambda: installed(home, bundles[4]), old, new)


def update_during_a_trial(home: Home, bundles: dict[int, Path]) -> Scenario:
    installed(home, bundles[1], commit=True)
    old = installed(home, bundles[2])
    new = installed(make_home(home.root.parent / "other"), bundles[3])
    return Scenario(lambda: installed(home, bundles[3]), old, new)


def refused_by_its_self_test(home: Home, bundles: dict[int, Path]) -> Scenario:
    old = installed(home, bundles[1], commit=True)

    def change() -> None:
        with pytest.raises(SelfTestError, match="golden answers"):
            installed(home, bundles[2], selftest=Told(v2={"argmax": 0.5}))

    return Scenario(change, old, old)


def start_of_a_server(home: Home, bundles: dict[int, Path]) -> Scenario:
    installed(home, bundles[1], commit=True)
    new = installed(home, bundles[2])
    return Scenario(lambda: begin(home), new, new)


def commit(home: Home, bundles: dict[int, Path]) -> Scenario:
    """Of a bundle that raises the floor."""
    installed(home, bundles[1], commit=True)
    new = installed(home, make_bundle(home.root.parent, sequence=FLOOR, raise_floor=FLOOR))
    begin(home)

    def change() -> None:
        assert report(home, version=new, good=EAGER.good) == COMMITTED

    return Scenario(change, new, new)


def attempts_used_up(home: Home, bundles: dict[int, Path]) -> Scenario:
    new = installed(home, bundles[1], commit=True)
    old = installed(home, bundles[2])
    for _ in range(EAGER.attempts):
        begin(home)
    return Scenario(lambda: begin(home), new, new, {old})  # whoever starts goes back


def too_many_failures(home: Home, bundles: dict[int, Path]) -> Scenario:
    new = installed(home, bundles[1], commit=True)
    old = installed(home, bundles[2])
    begin(home)

    def change() -> None:
        assert report(home, version=old, failed=1000) == ROLLED_BACK

    return Scenario(change, old, new, {old})


def rollback_by_hand(home: Home, bundles: dict[int, Path]) -> Scenario:
    new = installed(home, bundles[1], commit=True)
    old = installed(home, bundles[2], commit=True)
    return Scenario(lambda: rollback(home), old, new, {old})


def removal(home: Home, bundles: dict[int, Path]) -> Scenario:
    installed(home, bundles[1], commit=True)
    installed(home, bundles[2], commit=True)
    old = installed(home, bundles[3], commit=True)
    return Scenario(lambda: gc(home), old, old)


def damaged_current(home: Home, bundles: dict[int, Path]) -> Scenario:
    """A server starts on a version that the disk has damaged, and takes the one before."""
    new = installed(home, bundles[1], commit=True)
    old = installed(home, bundles[2], commit=True)
    spoil(home.versions / old / "model/model.onnx")
    return Scenario(lambda: begin(home), new, new)


def repair(home: Home, bundles: dict[int, Path]) -> Scenario:
    """The damaged version is installed again; a server that starts meanwhile takes the one before."""
    old = installed(home, bundles[1], commit=True)
    new = installed(home, bundles[2], commit=True)
    spoil(home.versions / new / "model/model.onnx")

    def change() -> None:
        assert install(home, bundles[2], selftest=passing).result == REPAIRED

    return Scenario(change, old, new)


def damaged_state(home: Home, bundles: dict[int, Path]) -> Scenario:
    installed(home, bundles[1], commit=True)
    new = installed(home, bundles[2], commit=True)
    home.state.write_bytes(home.state.read_bytes()[:100])
    return Scenario(lambda: begin(home), new, new, parses=False)


SCENARIOS = (
    first_install,
    update,
    update_during_a_trial,
    refused_by_its_self_test,
    start_of_a_server,
    commit,
    attempts_used_up,
    too_many_failures,
    rollback_by_hand,
    removal,
    damaged_current,
    repair,
    damaged_state,
)


def spoil(path: Path) -> None:
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def record(home: Home, change: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder(home.root)
    with monkeypatch.context() as patch:
        patch.setattr(durable, "disk", recorder)
        change()
    return recorder


@pytest.mark.parametrize("make", SCENARIOS)
def test_a_power_cut_at_any_moment_leaves_one_version_that_serves(make, home, bundles, tmp_path, monkeypatch, disk):
    disk(Unflushed())
    scenario = make(home, bundles)
    recorder = record(home, scenario.change, monkeypatch)
    assert recorder.now.tree() == Image.read(home.root).tree(), "something was written past durable.disk"
    disks, outcomes = 0, set()
    for name, image in crashes(recorder):
        outcomes.add(_start(image, tmp_path / "crashed", scenario, name))
        disks += 1
    print(f"\n{make.__name__}: {len(recorder.log)} calls, {disks} disks, {len(outcomes)} outcomes")
    assert outcomes == {scenario.old, scenario.new}


@pytest.mark.parametrize("make", SCENARIOS)
def test_what_has_returned_is_there_for_good(make, home, bundles, tmp_path, monkeypatch, disk):
    """Above all the attempt that a start has cost: it must be known after the model has taken the device down."""
    disk(Unflushed())
    scenario = make(home, bundles)
    recorder = record(home, scenario.change, monkeypatch)
    decided, links = state_of(home), [home.linked(name) for name in LINKS]
    for name, image in crashes(recorder, start=len(recorder.log)):
        image.write(tmp_path / "crashed")
        after = Home(tmp_path / "crashed")
        assert state_of(after) == decided, name
        assert [after.linked(name) for name in LINKS] == links, name
        shutil.rmtree(after.root)


@pytest.mark.parametrize("make", SCENARIOS)
def test_a_second_power_cut_during_the_repair_does_no_harm(make, home, bundles, tmp_path, monkeypatch, disk):
    disk(Unflushed())
    scenario = make(home, bundles)
    recorder = record(home, scenario.change, monkeypatch)
    repaired = set()
    for name, image in crashes(recorder, random_choices=0):
        root = tmp_path / "crashed"
        image.write(root)
        second = record(Home(root), lambda root=root: _serve(Home(root)), monkeypatch)
        shutil.rmtree(root)
        work = tuple(str(effect) for effect in second.log)
        if second.log and work not in repaired:  # each way of repairing once
            repaired.add(work)
            for inner, again in crashes(second, random_choices=0):
                _start(again, tmp_path / "crashed", scenario, f"{name}, then {inner}")
    print(f"\n{make.__name__}: {len(repaired)} different repairs")


def _start(image: Image, root: Path, scenario: Scenario, name: str) -> str | None:
    """Start a server on this disk. Checks all that must hold, and returns the id of what serves."""
    image.write(root)
    home = Home(root)
    if scenario.parses:
        state.load(home.state)
    status(home)
    served = _serve(home)
    assert served in (scenario.old, scenario.new), name
    again = Home(root)
    found = state.load(home.state) or state.State()
    assert found.current == served == again.linked("current"), name
    assert (found.previous, found.good) == (again.linked("previous"), again.linked("good")), name
    assert found.current not in found.bad, name
    if scenario.bad:
        assert (served == scenario.new) == (scenario.bad <= found.bad.keys()), name
    if found.trial:
        assert found.trial.attempts_left < EAGER.attempts, name
    if floor := found.floor_of("digits"):
        assert (floor, found.good) == (FLOOR, served), name
    shutil.rmtree(root)
    return served


def _serve(home: Home) -> str | None:
    try:
        return begin(home, now=lambda: NOW, uptime=lambda: Uptime("boot", 1.0)).id
    except NothingInstalledError:
        return None


def test_what_a_crash_leaves_does_not_hinder_the_next_install(home, bundles, tmp_path, monkeypatch, disk):
    disk(Unflushed())
    scenario = update(home, bundles)
    recorder = record(home, scenario.change, monkeypatch)
    for name, image in islice(crashes(recorder, random_choices=0), 0, None, 4):  # an install each: every fourth disk
        root = tmp_path / "crashed"
        image.write(root)
        after = Home(root)
        assert installed(after, bundles[2], commit=True, waived=["not-newer"]), name
        assert list(after.staging.iterdir()) == [], name
        gc(after)
        found = state_of(after)
        assert {path.name for path in after.versions.iterdir()} == {found.current, found.previous}, name
        shutil.rmtree(root)


def test_attempts_are_on_the_disk_before_the_link_leads_to_the_new_version(home, bundles, monkeypatch):
    installed(home, bundles[1], commit=True)
    recorder = record(home, lambda: installed(home, bundles[2]), monkeypatch)
    whats = [effect if isinstance(effect, int) else effect.what for effect in recorder.log]
    states = [place for place, what in enumerate(whats) if str(what).endswith(f" {home.state}")]
    flips = [place for place, what in enumerate(whats) if str(what).endswith(f" {home.root / 'current'}")]
    assert len(states) == len(flips) == 1
    flushed = [place for place, what in enumerate(whats) if what == 0]  # the root folder's inode
    assert any(states[0] < place < flips[0] for place in flushed)


def test_a_key_is_trusted_or_not_after_a_power_cut(home, tmp_path, monkeypatch, disk):
    disk(Unflushed())
    (tmp_path / "other.pub").write_text(OTHER_KEY.public.line())
    recorder = record(home, lambda: trust.add(home, tmp_path / "other.pub"), monkeypatch)
    outcomes = set()
    for _, image in crashes(recorder):
        image.write(tmp_path / "crashed")
        outcomes.add(tuple(key.id for key in Home(tmp_path / "crashed").trusted_keys()))
        shutil.rmtree(tmp_path / "crashed")
    both = tuple(sorted((KEY.public.id, OTHER_KEY.public.id)))
    assert outcomes == {(KEY.public.id,), both}


def test_the_shim_finds_a_change_that_is_not_flushed(tmp_path):
    """The recorder itself: a link that is flipped before the file that it relies on is durable."""
    root = tmp_path / "home"
    root.mkdir()
    (root / "a").write_bytes(b"old")
    recorder = Recorder(root)
    recorder.create(root / "b")
    recorder.append(root / "b", b"new!")
    recorder.rename(root / "b", root / "a")
    recorder.sync(root)
    found = {image.tree().get("/a") for _, image in crashes(recorder)}
    assert found == {b"old", b"", b"ne", b"new!"}  # empty and cut short: the file was never flushed


def test_recovery_writes_nothing_where_nothing_is_wrong(home, bundles, monkeypatch):
    installed(home, bundles[1], commit=True)
    recorder = record(home, lambda: (recover(home, NOW), begin(home)), monkeypatch)
    assert recorder.log == []
