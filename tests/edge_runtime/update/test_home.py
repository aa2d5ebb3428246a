"""The folder itself: locks, keys, the removal of old versions, status and history."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pwd
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
from bundles import KEY, OTHER_KEY, make_bundle
from crashes import Failing
from updates import EAGER, NOW, installed, make_home, passing, state_of

from edge_runtime import limits
from edge_runtime.bundle import flash
from edge_runtime.bundle.archive import read_signed_manifest
from edge_runtime.errors import HomeBusyError, HomeError, HomeServedError, KeyFileError, NothingInstalledError
from edge_runtime.update import durable, history, state, trust
from edge_runtime.update.gc import gc
from edge_runtime.update.home import Home
from edge_runtime.update.install import install
from edge_runtime.update.rollback import rollback
from edge_runtime.update.status import status
from edge_runtime.update.trial import ROLLED_BACK, begin, report


def names(home: Home) -> set[str]:
    return {path.name for path in home.versions.iterdir()}


def test_old_versions_go_and_the_three_that_matter_stay(home, bundles):
    ids = [installed(home, bundles[number], commit=True) for number in (1, 2, 3)]
    installed(home, bundles[4])
    assert names(home) == {*ids[1:], state_of(home).current}
    (home.versions / ("0" * 64)).mkdir()
    (home.staging / "litter").mkdir()
    assert gc(home) == ["0" * 64, ids[1]]
    assert names(home) == {ids[2], state_of(home).current}
    assert list(home.staging.iterdir()) == []
    assert begin(home)


def test_the_last_good_version_stays_although_it_is_neither_current_nor_previous(home, bundles):
    ids = [installed(home, bundles[number], commit=True) for number in (1, 2, 3)]
    state.save(home.state, replace(state_of(home), good=ids[0]))
    assert gc(home) == []
    assert names(home) == set(ids)


def test_a_version_on_trial_and_both_ways_back_stay(home, bundles):
    good = installed(home, bundles[1], commit=True)
    installed(home, bundles[2])
    third = installed(home, bundles[3])
    gc(home)
    assert names(home) == {good, third}


def test_nothing_is_removed_during_an_install(home, bundles):
    def removing(version, *, timed):
        with pytest.raises(HomeBusyError):
            gc(home)
        return passing(version, timed=timed)

    install(home, bundles[1], selftest=removing, now=lambda: NOW)
    assert begin(home)


def test_a_link_in_a_folder_that_is_removed_is_not_followed(home, tmp_path):
    outside = tmp_path / "precious"
    outside.mkdir()
    (outside / "file").write_text("x")
    litter = home.versions / ("0" * 64)
    litter.mkdir()
    (litter / "folder").symlink_to(outside)
    (litter / "file").symlink_to(outside / "file")
    gc(home)
    assert (outside / "file").read_text() == "x"


def test_a_change_waits_for_another_one(home, bundles):
    installed(home, bundles[1], commit=True)
    order = []

    def starting():
        begin(home)
        order.append("started")

    with home.locked():
        thread = threading.Thread(target=starting)
        thread.start()
        time.sleep(0.2)
        order.append("changed")
    thread.join(10)
    assert order == ["changed", "started"]


def test_a_change_does_not_wait_for_ever(home, monkeypatch):
    monkeypatch.setattr(limits, "LOCK_SECONDS", 0.1)
    with home.locked(), pytest.raises(HomeBusyError, match="is changing the state"):
        rollback(home)


@pytest.mark.integration
def test_the_lock_of_a_process_that_was_killed_is_free(home):
    code = "import sys\nfrom edge_runtime.update.home import Home\n"
    code += "with Home(sys.argv[1]).installing(): print(1, flush=True); input()"
    other = subprocess.Popen([sys.executable, "-c", code, home.root], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    other.stdout.readline()
    with pytest.raises(HomeBusyError), home.installing():
        pass
    other.kill()
    other.communicate()
    with home.installing():
        pass


def test_a_home_has_one_server_and_the_next_waits_for_it_to_end(home, monkeypatch):
    monkeypatch.setattr(limits, "SERVING_SECONDS", 0.1)
    with home.serving():
        with pytest.raises(HomeServedError, match="another process serves what is installed here; stop it") as refused:
            home.serving().__enter__()
        assert refused.value.code == "home-served"
        monkeypatch.setattr(limits, "SERVING_SECONDS", 20.0)
        order = []

        def restarted():
            with home.serving():
                order.append("second")

        thread = threading.Thread(target=restarted)
        thread.start()
        time.sleep(0.2)
        order.append("first ends")
    thread.join(10)
    assert order == ["first ends", "second"]


def test_a_server_hinders_neither_an_install_nor_a_rollback(home, bundles):
    first = installed(home, bundles[1], commit=True)
    with home.serving():
        installed(home, bundles[2])
        assert rollback(home).id == first
        gc(home)


@pytest.mark.integration
def test_a_server_that_was_killed_does_not_keep_the_next_one_waiting(home, monkeypatch):
    monkeypatch.setattr(limits, "SERVING_SECONDS", 0.0)
    code = "import sys\nfrom edge_runtime.update.home import Home\n"
    code += "with Home(sys.argv[1]).serving(): print(1, flush=True); input()"
    other = subprocess.Popen([sys.executable, "-c", code, home.root], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    other.stdout.readline()
    with pytest.raises(HomeServedError):
        home.serving().__enter__()
    other.kill()
    other.communicate()
    with home.serving():
        pass


def test_where_there_is_no_home_nothing_is_served(tmp_path):
    with pytest.raises(NothingInstalledError, match="use `edge-runtime install`"):
        Home(tmp_path / "nowhere").serving().__enter__()
    assert not (tmp_path / "nowhere").exists()


def test_a_home_that_cannot_be_written_may_be_served_by_anyone(home, bundles, monkeypatch):
    installed(home, bundles[1], commit=True)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with home.serving(), home.serving():
        assert not (home.root / "serve.lock").exists()


def test_a_home_that_has_been_moved_away_is_said_so(home, bundles):
    first = installed(home, bundles[1], commit=True)
    home.root.rename(home.root.with_name("elsewhere"))
    with pytest.raises(HomeError, match="put this folder back, or install again"):
        report(home, version=first, good=1)


def test_a_lock_is_not_a_link(home, tmp_path):
    (home.root / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(HomeError, match=r"lock: cannot be opened: .*; remove this link"), home.locked():
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_in_the_place_of_the_home_is_said_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeError, match="cannot be made"):
        Home(tmp_path / "file" / "home").make()


def test_keys_are_trusted_and_no_longer(home, tmp_path):
    path = tmp_path / "other.pub"
    path.write_text(OTHER_KEY.public.line())
    assert trust.add(home, path) == trust.add(home, path) == OTHER_KEY.public
    assert {key.id for key in home.trusted_keys()} == {KEY.public.id, OTHER_KEY.public.id}
    assert trust.remove(home, KEY.public.id) == KEY.public
    assert home.trusted_keys() == [OTHER_KEY.public]
    with pytest.raises(KeyFileError, match="strangers"):
        trust.remove(home, KEY.public.id)


def test_a_private_key_is_not_trusted(home, tmp_path):
    path = tmp_path / "private"
    path.write_text(OTHER_KEY.line())
    path.chmod(0o600)
    with pytest.raises(KeyFileError):
        trust.add(home, path)


def test_there_is_an_end_to_trust(home, tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "TRUSTED_KEYS", 1)
    (tmp_path / "other.pub").write_text(OTHER_KEY.public.line())
    with pytest.raises(HomeError, match="the most there can be"):
        trust.add(home, tmp_path / "other.pub")
    (home.keys / "x.pub").write_text(OTHER_KEY.public.line())
    with pytest.raises(HomeError, match="2 keys, where 1 are allowed"):
        home.trusted_keys()


def test_a_bad_file_among_the_keys_hinders_no_other_and_is_told(home, bundles, tmp_path):
    (home.keys / "a.pub").write_text("nonsense")
    os.mkfifo(home.keys / "b.pub")
    (home.keys / "c.pub").mkdir()
    (home.keys / f"{OTHER_KEY.public.id}.pub").write_bytes(b"\xff" * 5000)
    assert home.trusted_keys() == [KEY.public]
    installed(home, bundles[1])
    problems = " | ".join(status(home)["problems"])
    assert all(name in problems for name in ("a.pub", "b.pub", "c.pub", OTHER_KEY.public.id))
    other = tmp_path / "other.pub"
    other.write_text(OTHER_KEY.public.line())
    assert trust.remove(home, OTHER_KEY.public.id) is None  # by its file's name: there is no key in it
    assert trust.add(home, other) == OTHER_KEY.public
    assert trust.remove(home, KEY.public.id) == KEY.public
    assert trust.remove(home, "a") is None
    with pytest.raises(KeyFileError, match="strangers"):
        trust.remove(home, KEY.public.id)


def test_every_file_with_a_key_that_is_no_longer_trusted_goes(home):
    (home.keys / "copy.pub").write_text(KEY.public.line())
    assert trust.remove(home, KEY.public.id) == KEY.public
    assert home.trusted_keys() == []


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS])
def test_a_key_that_cannot_be_written_is_said_so_with_what_to_do(error, home, tmp_path, disk):
    path = tmp_path / "other.pub"
    path.write_text(OTHER_KEY.public.line())
    disk(Failing(error, 0))
    with pytest.raises(HomeError, match=f"{home.keys}: cannot be changed: .*; free some space"):
        trust.add(home, path)


@pytest.mark.parametrize("name", ["versions", "staging", "keys"])
def test_a_link_in_the_place_of_a_folder_is_refused_and_nothing_behind_it_is_touched(name, home, bundles, tmp_path):
    first = installed(home, bundles[1], commit=True)
    second = installed(home, bundles[2])
    victim = tmp_path / "victim"
    os.rename(home.root / name, victim)
    (victim / "precious").mkdir()
    (victim / "precious" / "file").write_text("x")
    (home.root / name).symlink_to(victim)
    for change in (lambda: installed(home, bundles[3]), lambda: gc(home), lambda: rollback(home)):
        with pytest.raises(HomeError, match=f"{name}: must be a folder"):
            change()
    with pytest.raises(HomeError):
        trust.remove(home, KEY.public.id)
    assert any("must be a folder" in problem for problem in status(home)["problems"])
    assert (victim / "precious" / "file").read_text() == "x"
    assert (state_of(home).current, state_of(home).previous) == (second, first)


def test_a_full_disk_empties_no_folder_behind_a_link(home, bundles, tmp_path, disk):
    installed(home, bundles[1], commit=True)
    second = installed(home, bundles[2])
    begin(home)
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").write_text("x")
    home.staging.rmdir()
    home.staging.symlink_to(victim)
    disk(Failing(errno.ENOSPC, 0, times=1))
    assert report(home, version=second, failed=100) == ROLLED_BACK
    assert (victim / "file").read_text() == "x"


def test_another_user_is_told_whose_home_it_is_and_changes_nothing(home, bundles, monkeypatch, tmp_path):
    installed(home, bundles[1], commit=True)
    installed(home, bundles[2])
    (tmp_path / "key.pub").write_text(OTHER_KEY.public.line())
    before = {path: path.lstat().st_mtime_ns for path in home.root.rglob("*")}
    owner = pwd.getpwuid(os.getuid()).pw_name
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    changes = (
        lambda: installed(home, bundles[3]),
        lambda: gc(home),
        lambda: rollback(home),
        lambda: trust.add(home, tmp_path / "key.pub"),
        lambda: home.serving().__enter__(),
    )
    for change in changes:
        with pytest.raises(HomeError, match=f"belongs to {owner}, .*; run it as {owner}"):
            change()
    assert {path: path.lstat().st_mtime_ns for path in home.root.rglob("*")} == before
    assert any("run it as" in problem for problem in status(home)["problems"])


@pytest.mark.parametrize("name", [".", "versions", "staging", "keys"])
def test_a_home_that_every_user_may_write_to_is_neither_changed_nor_served_and_told(name, home, bundles):
    installed(home, bundles[1], commit=True)
    installed(home, bundles[2])
    (home.root / name).chmod(0o777)
    changes = (
        lambda: installed(home, bundles[3]),
        lambda: rollback(home),
        lambda: gc(home),
        lambda: home.serving().__enter__(),
    )
    for change in changes:
        with pytest.raises(HomeError, match="every user may write here; take that away with `chmod -R o-w"):
            change()
    assert any("every user may write" in problem for problem in status(home)["problems"])


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize("name", ["versions", "staging", "keys"])
def test_a_folder_of_another_user_is_refused(name, home, bundles):
    os.chown(home.root / name, 12345, -1)
    with pytest.raises(HomeError, match=f"{name}: belongs to user 12345; give it back"):
        installed(home, bundles[1])


def test_a_link_to_a_home_is_none(home, bundles, tmp_path):
    (tmp_path / "link").symlink_to(home.root)
    with pytest.raises(HomeError, match=f"is a link to {home.root}; name that folder"):
        installed(Home(tmp_path / "link"), bundles[1])


def test_what_cannot_be_removed_hinders_no_install_and_is_told(home, bundles, monkeypatch):
    """What another user has left here cannot be unlinked, or moved to another folder."""
    installed(home, bundles[1], commit=True)
    second = hashlib.sha256(read_signed_manifest(bundles[2], [KEY.public])[1]).hexdigest()
    stuck = {home.versions / ("0" * 64), home.staging / "litter", home.staging / second}
    for folder in stuck:
        folder.mkdir()
        (folder / "file").write_text("x")

    class Guarded(durable.Disk):
        def unlink(self, path):
            if path.parent in stuck:
                raise PermissionError(13, "Permission denied")
            super().unlink(path)

        def rename(self, source, target):
            if source in stuck:
                raise PermissionError(13, "Permission denied")
            super().rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(durable, "disk", Guarded())
        assert installed(home, bundles[2], commit=True) == second
        assert begin(home).id == second
        assert all((folder / "file").exists() for folder in stuck)
        [told] = [event for event in history.events(home.root) if event["event"] == "stuck"]
        assert told["ids"] == ["0" * 64]
        with pytest.raises(HomeError, match="and 2 more: cannot be removed"):
            gc(home)
    assert gc(home) == ["0" * 64]
    assert names(home) == {state_of(home).previous, second}


def test_status_tells_all(home, bundles):
    first = installed(home, bundles[1], commit=True)
    second = installed(home, bundles[2])
    told = status(home)
    size = flash.taken(home.versions / second)
    assert told["current"] == {"id": second, "name": "digits", "sequence": 2, "expires": None, "flash": size}
    assert size > 0
    assert told["previous"]["id"] == told["good"]["id"] == first
    assert told["trial"]["attempts_left"] == EAGER.attempts
    assert (told["floor"], told["bad"], told["problems"]) == (0, {}, [])
    assert told["versions"] == sorted([first, second])
    assert told["keys"] == [str(KEY.public)]
    assert told["free"] > 0
    json.dumps(told)


def test_status_tells_what_is_wrong_and_changes_nothing(tmp_path, bundles, disk):
    home = make_home(tmp_path / "home")
    first = installed(home, bundles[1], commit=True)
    (home.keys / f"{KEY.public.id}.pub").unlink()
    (home.root / "current").unlink()
    (home.versions / first / "manifest.json").unlink()
    writing = disk(Failing(5, 0))
    problems = " | ".join(status(home)["problems"])
    assert "no key is trusted" in problems
    assert "interrupted" in problems
    assert "cannot be read" in problems
    assert writing.failed == 0


def test_status_says_of_a_version_that_is_gone_once_what_to_do(home, bundles):
    first = installed(home, bundles[1], commit=True)
    for path in sorted((home.versions / first).rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    told = status(home)
    assert (
        told["current"]
        == told["good"]
        == {"id": first, "name": None, "sequence": None}
        | {
            "expires": None,
            "flash": None,
        }
    )
    [problem] = told["problems"]
    assert problem.endswith("manifest.json: cannot be read: No such file or directory; install the bundle again")


def test_status_of_nothing(home, tmp_path):
    assert "nothing is installed" in " ".join(status(home)["problems"])
    with pytest.raises(NothingInstalledError):
        status(Home(tmp_path / "nowhere"))


def test_history_is_in_order(home, bundles):
    first = installed(home, bundles[1], commit=True)
    second = installed(home, bundles[2])
    rollback(home, "by hand")
    told = [(event["event"], event["id"]) for event in history.events(home.root)]
    assert told == [("installed", first), ("committed", first), ("installed", second), ("rolled-back", second)]


def test_history_has_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "HISTORY_BYTES", 1000)
    for number in range(100):
        history.note(tmp_path, NOW, "event", number=number)
    numbers = [event["number"] for event in history.events(tmp_path)]
    assert numbers == list(range(numbers[0], 100))
    assert 10 < len(numbers) < 40
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2000


def test_a_line_that_a_crash_has_cut_short_is_skipped_and_hides_no_other(tmp_path):
    history.note(tmp_path, NOW, "first")
    path = tmp_path / history.NAME
    path.write_bytes(path.read_bytes() + b'{"at": "2026-')
    history.note(tmp_path, NOW, "second")
    path.write_bytes(path.read_bytes() + b"\xff\xff\n[1]\n7\n")
    assert [event["event"] for event in history.events(tmp_path)] == ["first", "second"]


def test_history_that_cannot_be_written_hinders_nothing(home, bundles, disk, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable, "append_line", full)
    first = installed(home, bundles[1], commit=True)
    installed(home, bundles[2])
    assert rollback(home).id == first


def test_everything_is_on_the_disk_that_the_system_was_told_to_flush(home, bundles, monkeypatch):
    """The real disk, whose flushes are counted: every file of a version, and every folder that got a name."""
    flushed = []
    real = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda handle: (flushed.append(os.readlink(f"/proc/self/fd/{handle}")), real(handle))
    )
    id = installed(home, bundles[1])
    staged = {path.removeprefix(f"{home.staging}/{id}/") for path in flushed if path.startswith(str(home.staging))}
    files = {path.relative_to(home.versions / id).as_posix() for path in (home.versions / id).rglob("*")}
    assert files <= staged
    assert {str(home.versions), str(home.staging), str(home.root)} <= set(flushed)


def test_a_bundle_of_another_name_starts_a_home(tmp_path):
    home = make_home(tmp_path / "home")
    installed(home, make_bundle(tmp_path, name="letters"), commit=True)
    assert status(home)["good"]["name"] == "letters"
