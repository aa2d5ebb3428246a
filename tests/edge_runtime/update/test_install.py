"""What `install` lets in, what it refuses, and that a refusal leaves everything as it was."""

from __future__ import annotations

import errno
import os
import random
import shutil
import threading
import zipfile
import zlib
from types import SimpleNamespace

import pytest
from bundles import KEY, OTHER_KEY, make_bundle, tiny_model
from crashes import Failing, Unflushed
from updates import EAGER, NOW, Told, installed, make_home, passing, state_of

from edge_runtime import limits
from edge_runtime.errors import (
    BadVersionError,
    BundleError,
    ClockError,
    ContentError,
    DowngradeError,
    EngineMissingError,
    ExpiredError,
    HomeBusyError,
    HomeError,
    NotNewerError,
    OtherModelError,
    SelfTestError,
    SignatureError,
    SpaceError,
    TargetError,
    UnknownKeyError,
    UpdateError,
)
from edge_runtime.update import clock, history
from edge_runtime.update.home import Home
from edge_runtime.update.install import ALREADY, ON_TRIAL, REPAIRED, install
from edge_runtime.update.rollback import rollback
from edge_runtime.update.state import Policy
from edge_runtime.update.trial import begin, report

GOLDEN = {"inputs": "golden/inputs.npy", "outputs": "golden/outputs.npy", "absolute": 1e-3, "argmax": 1.0}
LIMITED = GOLDEN | {"p99": 0.010, "memory": 50_000_000}
UNLIMITED = GOLDEN | {"p99": None, "memory": None}


def try_install(home: Home, path, **options):
    return install(home, path, **({"selftest": passing, "now": lambda: NOW, "policy": EAGER} | options))


def refused(home: Home, path, error, match=None, **options):
    """The refusal, after which the current version, the state and the versions on the disk are what they were."""
    before = begin(home).id if home.linked("current") else None
    content = home.state.read_bytes() if before else None
    with pytest.raises(error, match=match) as told:
        try_install(home, path, **options)
    assert home.linked("current") == before
    assert content is None or home.state.read_bytes() == content
    assert list(home.staging.iterdir()) == []
    assert before is None or begin(home).id == before
    return told.value


def test_a_new_version_is_current_and_on_trial(home, bundles):
    first = installed(home, bundles[1], commit=True)
    done = try_install(home, bundles[2])
    assert (done.result, done.name, done.sequence) == (ON_TRIAL, "digits", 2)
    found = state_of(home)
    assert (found.current, found.previous, found.good) == (done.id, first, first)
    assert found.trial.attempts_left == EAGER.attempts
    assert home.current().id == done.id
    assert os.readlink(home.root / "current") == f"versions/{done.id}"


def test_a_version_is_what_its_bundle_holds_and_read_only(home, bundles):
    id = installed(home, bundles[1])
    assert home.intact(id).manifest.sequence == 1
    for path in (home.versions / id).rglob("*"):
        if path.is_file():
            assert path.stat().st_mode & 0o777 == 0o444


def test_the_first_version_has_a_trial_too(home, bundles):
    installed(home, bundles[1])
    found = state_of(home)
    assert (found.previous, found.good) == (None, None)
    assert found.trial


def test_the_same_version_again_is_no_work_and_no_error(home, bundles):
    id = installed(home, bundles[1], commit=True)
    tester = Told()
    done = try_install(home, bundles[1], selftest=tester)
    assert (done.result, done.id, tester.asked) == (ALREADY, id, [])
    assert state_of(home).trial is None


def test_the_same_version_again_repairs_it(home, bundles):
    id = installed(home, bundles[1], commit=True)
    broken = home.versions / id / "model/model.onnx"
    broken.unlink()
    assert try_install(home, bundles[1]).result == REPAIRED
    assert begin(home).id == id
    assert state_of(home).trial is None


def test_an_update_during_a_trial_goes_back_to_the_last_good_one(home, bundles):
    first = installed(home, bundles[1], commit=True)
    installed(home, bundles[2])
    installed(home, bundles[3])
    assert state_of(home).previous == first
    assert rollback(home).id == first


def test_nothing_is_installed_without_a_trusted_key(tmp_path, bundles):
    home = Home(tmp_path / "home")
    home.make()
    refused(home, bundles[1], UnknownKeyError, "trusted keys are: none")


def test_a_strangers_bundle_is_refused(home, bundles, tmp_path):
    installed(home, bundles[1], commit=True)
    path = make_bundle(tmp_path, sequence=2, key=OTHER_KEY)
    told = str(refused(home, path, UnknownKeyError))
    assert told.startswith(f"{path}: signed with key {OTHER_KEY.public.id}, and the trusted keys are: {KEY.public}; ")
    assert told.endswith(f"edge-runtime trust KEY.pub --home {home.root}")


def test_a_bundle_that_was_changed_is_named(home, bundles, tmp_path):
    changed = bytearray(bundles[1].read_bytes())
    place = changed.index(b'"sequence":1')
    changed[place + 11 : place + 12] = b"2"
    start = changed.index(b"{")
    end = changed.index(b"PK\3\4", start)
    changed[14:18] = zlib.crc32(changed[start:end]).to_bytes(4, "little")
    (tmp_path / "changed.edge").write_bytes(changed)
    told = str(refused(home, tmp_path / "changed.edge", SignatureError, "changed afterwards"))
    assert told.startswith(f"{tmp_path / 'changed.edge'}: ") and "--home" not in told


def test_a_key_that_is_no_longer_trusted_signs_nothing_more(tmp_path, bundles):
    home = make_home(tmp_path / "home", KEY.public, OTHER_KEY.public)
    installed(home, bundles[1], commit=True)
    (home.keys / f"{KEY.public.id}.pub").unlink()
    refused(home, bundles[2], UnknownKeyError)
    installed(home, make_bundle(tmp_path, sequence=2, key=OTHER_KEY))


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"target": "other"}, TargetError, "this machine is"),
        ({"features": ("amx_int8", "no-such-feature")}, TargetError, "no-such-feature"),
        ({"runtime": "no-such-runtime"}, EngineMissingError, "unknown here"),
        ({"runtime_minimum": "999.0"}, TargetError, r"needs onnxruntime 999.0, and \d+\.\d+"),
        ({"edge_runtime_minimum": "999.0"}, TargetError, "update edge-runtime first"),
    ],
)
def test_a_foreign_bundle_is_refused(changes, error, match, home, bundles, tmp_path):
    if changes.get("target"):
        changes = {"target": "aarch64-linux" if os.uname().machine == "x86_64" else "x86_64-linux"}
    installed(home, bundles[1], commit=True)
    refused(home, make_bundle(tmp_path, sequence=2, **changes), error, match)


def test_a_runtime_that_is_not_installed_is_named(home, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    refused(home, make_bundle(tmp_path), EngineMissingError, "pip install onnxruntime")


def test_the_engine_itself_says_its_version_too(home, bundles, tmp_path):
    """Where an engine came without a package, its version is known from the self-test."""
    installed(home, bundles[1], commit=True)
    path = make_bundle(tmp_path, sequence=2, runtime_minimum="1.17")
    refused(home, path, TargetError, "1.16.3 is installed", selftest=Told(v2={"version": "1.16.3"}))
    assert state_of(home).bad == {}  # not the bundle's fault


def test_another_model_is_refused_unless_it_is_meant(home, bundles, tmp_path):
    installed(home, bundles[1], commit=True)
    path = make_bundle(tmp_path, sequence=5, name="letters")
    refused(home, path, OtherModelError, "'letters', and 'digits'")
    assert try_install(home, path, waived=["other-model"]).name == "letters"


@pytest.mark.parametrize("sequence", [1, 2])
def test_a_replayed_bundle_is_refused_unless_it_is_meant(sequence, home, bundles, tmp_path):
    installed(home, bundles[2], commit=True)
    path = make_bundle(tmp_path, sequence=sequence, model=tiny_model(9))
    refused(home, path, NotNewerError, "the current version has 2")
    assert try_install(home, path, waived=["not-newer"]).result == ON_TRIAL


def test_nothing_below_the_floor_is_installed_whoever_asks(home, tmp_path, bundles):
    installed(home, make_bundle(tmp_path, sequence=8, raise_floor=7), commit=True)
    assert state_of(home).floor_of("digits") == 7
    refused(home, bundles[3], DowngradeError, "7 is the least")
    refused(home, bundles[3], DowngradeError, waived=["not-newer", "version-bad", "other-model", "bundle-expired"])
    with pytest.raises(UpdateError, match="'downgrade' cannot be waived"):
        try_install(home, bundles[3], waived=["downgrade"])
    assert try_install(home, make_bundle(tmp_path, sequence=7), waived=["not-newer"]).result == ON_TRIAL


def test_the_floor_rises_at_the_commit_and_not_before(home, tmp_path, bundles):
    first = installed(home, bundles[1], commit=True)
    second = installed(home, make_bundle(tmp_path, sequence=2, raise_floor=2))
    assert state_of(home).floor_of("digits") == 0
    begin(home)
    report(home, version=second, failed=100)
    assert (begin(home).id, state_of(home).floor_of("digits")) == (first, 0)
    assert installed(home, tmp_path / "digits-2.edge", commit=True, waived=["version-bad"])
    assert state_of(home).floor_of("digits") == 2


def test_the_floor_never_sinks(home, tmp_path):
    installed(home, make_bundle(tmp_path, sequence=8, raise_floor=7), commit=True)
    installed(home, make_bundle(tmp_path, sequence=9, raise_floor=3), commit=True)
    assert state_of(home).floor_of("digits") == 7


def test_a_floor_is_of_one_name(home, tmp_path):
    """Each name counts its own sequence numbers: that of another model says nothing."""
    installed(home, make_bundle(tmp_path, sequence=500, raise_floor=500), commit=True)
    other = make_bundle(tmp_path, sequence=3, name="letters", raise_floor=3)
    installed(home, other, commit=True, waived=["other-model"])
    found = state_of(home)
    assert (found.floor_of("digits"), found.floor_of("letters"), found.floor_of("third")) == (500, 3, 0)
    old = make_bundle(tmp_path, sequence=499)
    refused(home, old, DowngradeError, "500 is the least", waived=["other-model", "not-newer"])
    assert rollback(home).manifest.name == "digits"  # whose 500 is not below its own floor
    refused(home, make_bundle(tmp_path, sequence=2, name="letters"), DowngradeError, waived=["other-model"])


def test_a_bad_version_is_refused_until_it_is_retried(home, bundles):
    installed(home, bundles[1], commit=True)
    second = installed(home, bundles[2])
    rollback(home, "it looked odd")
    refused(home, bundles[2], BadVersionError, "it looked odd")
    assert try_install(home, bundles[2], waived=["version-bad"]).id == second
    assert state_of(home).bad == {}


@pytest.mark.parametrize(
    ("expires", "now", "error"),
    [
        ("2027-01-01T00:00:00Z", clock.moment("2026-12-31T23:59:59Z"), None),
        ("2027-01-01T00:00:00Z", clock.moment("2027-01-01T00:00:00Z"), ExpiredError),
        ("2027-01-01T00:00:00Z", 0.0, ClockError),  # 1970: not believed that there is time left
        ("2020-01-01T00:00:00Z", 0.0, ExpiredError),  # 1970, and expired whatever the time is
        (None, 0.0, None),
    ],
)
def test_a_bundle_expires_by_a_clock_that_can_be_believed(expires, now, error, home, tmp_path):
    path = make_bundle(tmp_path, expires=expires)
    if error:
        told = refused(home, path, error, now=lambda: now)
        assert "2027" in str(told) or "2020" in str(told)
        waived = [told.code]
    else:
        waived = []
    assert try_install(home, path, now=lambda: now, waived=waived).result == ON_TRIAL


def test_a_version_that_expires_while_it_is_installed_goes_on_serving(home, tmp_path):
    id = installed(home, make_bundle(tmp_path, expires="2027-01-01T00:00:00Z"), commit=True)
    assert begin(home, now=lambda: clock.moment("2037-01-01T00:00:00Z")).id == id


def test_space_is_asked_of_the_file_system_that_the_files_go_to(home, bundles, monkeypatch):
    installed(home, bundles[1], commit=True)
    asked = []

    def statvfs(path):
        asked.append(path)
        return SimpleNamespace(f_frsize=4096, f_bavail=limits.SPARE_BYTES // 4096 + 5, f_files=0, f_favail=0)

    monkeypatch.setattr(os, "statvfs", statvfs)
    refused(home, bundles[2], SpaceError, r"9\.\d MB are needed and 8\.4 MB free; 8\.4 MB of them are a reserve")
    assert asked == [home.staging]


def test_a_file_system_out_of_inodes_is_refused(home, bundles, monkeypatch):
    monkeypatch.setattr(
        os, "statvfs", lambda path: SimpleNamespace(f_frsize=4096, f_bavail=10**6, f_files=100, f_favail=3)
    )
    refused(home, bundles[1], SpaceError, "3 files can be made here")


def test_folders_on_two_file_systems_are_refused(home, bundles, monkeypatch):
    other = home.staging
    real = type(other).stat

    def stat(path, **options):
        found = real(path, **options)
        facts = {name: getattr(found, name) for name in ("st_mode", "st_uid")}
        return SimpleNamespace(**facts, st_dev=found.st_dev + (path == other))

    monkeypatch.setattr(type(other), "stat", stat)
    with pytest.raises(HomeError, match="two file systems"):
        try_install(home, bundles[1])


def test_a_home_that_every_user_may_write_to_is_refused(home, bundles):
    home.versions.chmod(0o777)
    with pytest.raises(HomeError, match="every user may write"):
        try_install(home, bundles[1])


def test_a_disk_that_is_full_at_any_moment_leaves_the_old_version(home, bundles, disk, copied):
    disk(Unflushed())
    old = installed(home, bundles[1], commit=True)
    calls, done = 0, False
    while not done:
        after = copied(home)
        full = disk(Failing(errno.ENOSPC, calls))
        try:
            try_install(after, bundles[2])
            done = full.failed == 0
        except SpaceError as error:
            assert error.status == 507
        disk(Unflushed())
        served = begin(after).id
        assert served == old or state_of(after).trial
        assert try_install(after, bundles[2]).result in (ON_TRIAL, ALREADY)
        shutil.rmtree(after.root)
        calls += 1
    assert calls > 30


def test_a_disk_that_is_full_for_a_moment_only_delays(home, bundles, disk, copied):
    """A single call fails: `write` makes room and tries again where it changes the state."""
    disk(Unflushed())
    old = installed(home, bundles[1], commit=True)
    for calls in range(45):
        after = copied(home)
        disk(Failing(errno.ENOSPC, calls, times=1))
        try:
            try_install(after, bundles[2])
        except SpaceError:
            assert begin(after).id == old
        disk(Unflushed())
        assert begin(after).id
        shutil.rmtree(after.root)


def test_a_flipped_bit_in_any_file_is_refused(home, bundles, tmp_path, disk):
    disk(Unflushed())
    old = installed(home, bundles[1], commit=True)
    good = bundles[2].read_bytes()
    draw = random.Random(3)
    path = tmp_path / "flipped.edge"
    with zipfile.ZipFile(path.write_bytes(good) and path) as archive:
        starts = [entry.header_offset for entry in archive.infolist()] + [archive.start_dir]
    assert len(starts) == 7  # a header and a content each; the directory
    places = [place for a, b in zip(starts, [*starts[1:], len(good)], strict=True) for place in draws(draw, a, b)]
    for place in places:
        bad = bytearray(good)
        bad[place] ^= 1 << draw.randrange(8)
        path.write_bytes(bad)
        with pytest.raises((BundleError, SignatureError)):
            try_install(home, path)
        assert home.linked("current") == old
    assert begin(home).id == old
    assert [version.name for version in home.versions.iterdir()] == [old]


def draws(draw: random.Random, start: int, end: int) -> list[int]:
    """Twelve places in a file and its header, among them the first and the last."""
    return [start, end - 1, *(draw.randrange(start, end) for _ in range(10))]


def test_a_bundle_cut_short_anywhere_is_refused(home, bundles, tmp_path, disk):
    disk(Unflushed())
    old = installed(home, bundles[1], commit=True)
    good = bundles[2].read_bytes()
    draw = random.Random(4)
    path = tmp_path / "short.edge"
    for length in [0, 1, 30, len(good) - 1, *(draw.randrange(len(good)) for _ in range(40))]:
        path.write_bytes(good[:length])
        with pytest.raises(BundleError):
            try_install(home, path)
    path.write_bytes(good + b"\0")
    with pytest.raises(BundleError):
        try_install(home, path)
    assert begin(home).id == old
    assert [version.name for version in home.versions.iterdir()] == [old]


@pytest.mark.parametrize("kind", ["folder", "missing", "pipe", "link to nothing"])
def test_what_is_no_file_is_refused(kind, home, tmp_path):
    path = tmp_path / "x.edge"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind != "missing":
        path.symlink_to("nowhere")
    refused(home, path, BundleError)


def test_a_bundle_that_changes_while_it_is_read_is_refused(home, bundles, tmp_path, monkeypatch):
    path = tmp_path / "x.edge"
    shutil.copy(bundles[1], path)
    from edge_runtime.update import checks

    monkeypatch.setattr(checks, "check_space", lambda *_: shutil.copy(bundles[2], path))
    refused(home, path, BundleError, "has changed while it was read")


def test_two_installs_at_once_are_one(home, bundles):
    started, go_on = threading.Event(), threading.Event()

    def slow(version, *, timed):
        started.set()
        assert go_on.wait(20)
        return passing(version, timed=timed)

    old = installed(home, bundles[1], commit=True)
    first = threading.Thread(target=lambda: try_install(home, bundles[2], selftest=slow))
    first.start()
    assert started.wait(20)
    with pytest.raises(HomeBusyError, match="is installing"):
        try_install(home, bundles[3])
    assert begin(home).id == old  # a server does not wait for an install
    assert report(home, version=old, good=5) == "serving"
    go_on.set()
    first.join(20)
    assert begin(home).manifest.sequence == 2


def test_a_rollback_during_an_install_is_not_undone_by_it(home, bundles):
    first = installed(home, bundles[1], commit=True)
    second = installed(home, bundles[2], commit=True)

    def going_back(version, *, timed):
        rollback(home)
        return passing(version, timed=timed)

    try_install(home, bundles[3], selftest=going_back)
    found = state_of(home)
    assert (found.previous, found.good) == (first, first)
    assert second in found.bad


def test_a_failed_self_test_is_a_refusal_and_marks_the_version_bad(home, bundles):
    first = installed(home, bundles[1], commit=True)
    with pytest.raises(SelfTestError, match=r"50\.00% of its golden answers are right, where 100\.00% must be"):
        try_install(home, bundles[2], selftest=Told(v2={"argmax": 0.5}))
    assert begin(home).id == first
    assert [path.name for path in home.versions.iterdir()] == [first]
    refused(home, bundles[2], BadVersionError, "golden answers")
    assert try_install(home, bundles[2], waived=["version-bad"]).result == ON_TRIAL


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ({"absolute": 0.5}, "off by 0.5, where 0.001 are allowed"),
        ({"absolute": float("inf")}, "off by inf"),
        ({"p99": 0.02}, "p99 is 20.00 ms, where 10.00 ms are allowed"),
        ({"p99": None}, "p99 is unknown"),
        ({"memory": 60_000_000}, "60.0 MB, where 50.0 MB are allowed"),
        (SelfTestError("it was ended by SIGSEGV"), "SIGSEGV"),
    ],
)
def test_each_limit_of_a_bundle_is_held(result, words, home, bundles, tmp_path):
    installed(home, bundles[1], commit=True)
    with pytest.raises(SelfTestError, match=words):
        try_install(home, make_bundle(tmp_path, sequence=2, golden=LIMITED), selftest=Told(v2=result))


@pytest.mark.parametrize("check", [{"p99": 0.02}, {"memory": 60_000_000}])
def test_a_limit_that_the_old_version_misses_too_does_not_condemn_the_new_one(check, home, bundles, tmp_path):
    installed(home, bundles[1], commit=True)
    tester = Told(v1=check, v2=check)
    done = try_install(home, make_bundle(tmp_path, sequence=2, golden=LIMITED), selftest=tester)
    assert tester.asked == [2, 1]
    assert len(done.excused) == 1
    assert not check.keys() & set(state_of(home).trial.judged)


def test_wrong_answers_are_never_excused(home, bundles, tmp_path):
    installed(home, bundles[1], commit=True)
    wrong = {"argmax": 0.0, "p99": 0.02}
    with pytest.raises(SelfTestError, match="golden answers"):
        try_install(home, make_bundle(tmp_path, sequence=2, golden=LIMITED), selftest=Told(v1=wrong, v2=wrong))


def test_time_is_measured_only_when_the_bundle_limits_it(home, tmp_path):
    timed = []

    def tester(version, *, timed: bool, seen=timed):
        seen.append(timed)
        return passing(version, timed=timed)

    try_install(home, make_bundle(tmp_path, sequence=1, golden=UNLIMITED), selftest=tester)
    try_install(home, make_bundle(tmp_path, sequence=2, golden=LIMITED), selftest=tester)
    assert timed == [False, True]


def test_refusals_of_signed_bundles_are_remembered(home, bundles, tmp_path):
    installed(home, bundles[2], commit=True)
    refused(home, bundles[1], NotNewerError)
    last = history.events(home.root)[-1]
    assert (last["event"], last["code"]) == ("refused", "not-newer")


def test_a_signed_bundle_whose_content_is_damaged_is_remembered(home, bundles, tmp_path):
    damaged = bytearray(bundles[1].read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "damaged.edge").write_bytes(damaged)
    refused(home, tmp_path / "damaged.edge", ContentError)
    [told] = history.events(home.root)
    assert (told["event"], told["code"]) == ("refused", "bundle-content-damaged")
    assert told["id"] == installed(home, bundles[1])


def test_a_version_that_is_refused_after_its_self_test_is_remembered(home, bundles, tmp_path):
    """Another one was committed meanwhile, and raised the floor."""
    third = installed(home, make_bundle(tmp_path, sequence=3, raise_floor=3))

    def committing(version, *, timed):
        begin(home)
        report(home, version=third, good=EAGER.good)
        return passing(version, timed=timed)

    with pytest.raises(DowngradeError):
        try_install(home, bundles[2], selftest=committing, waived=["not-newer"])
    assert [event["event"] for event in history.events(home.root)] == ["installed", "committed", "refused"]
    assert home.linked("current") == third


def test_what_nobody_trusted_has_signed_leaves_no_line_in_the_history(home, tmp_path):
    refused(home, make_bundle(tmp_path, key=OTHER_KEY), UnknownKeyError)
    assert history.events(home.root) == []


def test_the_policy_is_written_down_with_the_trial(home, bundles):
    installed(home, bundles[1], policy=Policy(attempts=7, good=11, window=13.0))
    trial = state_of(home).trial
    assert (trial.attempts_left, trial.good_needed, trial.window) == (7, 11, 13.0)
