"""How a version on trial is judged: attempts, good inferences, quiet time, and limits that the old version keeps."""

from __future__ import annotations

import errno

import pytest
from bundles import make_bundle
from crashes import Failing
from updates import EAGER, PERFECT, Told, installed, state_of

from edge_runtime.errors import HomeError, NothingInstalledError
from edge_runtime.update import history
from edge_runtime.update.home import Home
from edge_runtime.update.state import Policy
from edge_runtime.update.trial import (
    COMMITTED,
    IGNORED,
    KEPT,
    ON_TRIAL,
    ROLLED_BACK,
    SERVING,
    begin,
    report,
)

STRICT = Policy(attempts=3, good=50, window=600.0)
LIMITED = {"inputs": "golden/inputs.npy", "outputs": "golden/outputs.npy", "absolute": 1e-3, "argmax": 1.0}
LIMITED |= {"p99": 0.010, "memory": 50_000_000}


@pytest.fixture
def serving(home, bundles, times):
    """Version 1 committed, version 2 on trial; tell as a server would, with the clock of `times`."""
    first = installed(home, bundles[1], commit=True)
    second = installed(home, bundles[2], policy=STRICT)

    def tell(version=second, **facts):
        return report(home, version=version, now=times.now, uptime=times.uptime, **facts)

    def start():
        return begin(home, now=times.now, uptime=times.uptime).id

    tell.first, tell.second, tell.start = first, second, start
    return tell


def test_nothing_installed_is_said_so(tmp_path, home):
    with pytest.raises(NothingInstalledError):
        begin(Home(tmp_path / "nowhere"))
    with pytest.raises(NothingInstalledError):
        begin(home)


def test_every_start_costs_an_attempt_and_the_one_too_many_goes_back(home, serving):
    for left in (2, 1, 0):
        assert serving.start() == serving.second
        assert state_of(home).trial.attempts_left == left
    assert serving.start() == serving.first
    found = state_of(home)
    assert (found.trial, found.previous) == (None, None)
    assert "attempts" in found.bad[serving.second]


def test_who_serves_the_current_version_already_is_given_nothing_and_loses_nothing(home, serving, times):
    serving.start()
    serving(good=30)
    before = home.state.read_bytes()
    for _ in range(5):
        assert begin(home, serving=serving.second, now=times.now, uptime=times.uptime) is None
    assert home.state.read_bytes() == before
    assert begin(home, serving=serving.first, now=times.now, uptime=times.uptime).id == serving.second
    assert state_of(home).trial.attempts_left == 1


def test_its_last_attempt_is_not_taken_from_a_version_that_serves(home, serving, times):
    for _ in range(3):
        serving.start()
    assert begin(home, serving=serving.second, now=times.now, uptime=times.uptime) is None
    assert serving.start() == serving.first


def test_a_reboot_is_a_start_like_any_other(home, serving, times):
    for _ in range(3):
        assert serving.start() == serving.second
        times.reboot()
    assert serving.start() == serving.first


def test_an_attempt_is_given_back_when_the_server_stops_on_purpose(home, serving):
    for _ in range(10):
        assert serving.start() == serving.second
        assert serving(stopped=True) == ON_TRIAL
    assert state_of(home).trial.attempts_left == 3
    serving(stopped=True)  # told twice
    assert state_of(home).trial.attempts_left == 3


def test_good_inferences_and_a_quiet_window_commit(home, serving, times):
    serving.start()
    assert serving(good=50) == ON_TRIAL
    times.sleep(599)
    assert serving(good=1) == ON_TRIAL
    times.sleep(2)
    assert serving(good=1) == COMMITTED
    found = state_of(home)
    assert (found.current, found.previous, found.good) == (serving.second, serving.first, serving.second)
    assert found.trial is None
    assert home.linked("good") == serving.second


def test_time_alone_commits_nothing(serving, times):
    serving.start()
    times.sleep(10**6)
    assert serving(good=49) == ON_TRIAL
    assert serving(good=1) == COMMITTED


def test_a_clock_that_is_set_forward_commits_nothing(serving, times):
    serving.start()
    times.wall += 10**9
    assert serving(good=50) == ON_TRIAL


def test_a_crash_starts_the_window_and_the_count_anew(serving, times):
    serving.start()
    serving(good=49)
    times.sleep(599)
    serving.start()  # without having stopped
    assert serving(good=49) == ON_TRIAL
    times.sleep(601)
    assert serving(good=0) == ON_TRIAL
    assert serving(good=1) == COMMITTED


def test_a_reboot_starts_the_window_anew_although_more_seconds_have_passed_since(serving, times):
    serving.start()
    times.reboot()
    times.seconds = 10_000.0  # up for long, and the server never said it began
    assert serving(good=50) == ON_TRIAL
    times.sleep(600)
    assert serving(good=1) == COMMITTED


def test_a_model_that_cannot_be_loaded_is_left_when_its_attempts_are_used_up(serving):
    loads = 0
    while serving.start() == serving.second:
        loads += 1
        verdict = serving(crashed=True)
    assert (loads, verdict) == (3, ROLLED_BACK)


def test_too_many_failures_go_back_at_once(home, serving):
    serving.start()
    assert serving(good=10, failed=9) == ON_TRIAL  # too few to tell
    assert serving(failed=1) == ROLLED_BACK
    assert "10 of 20 inferences failed" in state_of(home).bad[serving.second]
    assert serving.start() == serving.first


def test_failures_within_the_limit_do_no_harm(serving, times):
    serving.start()
    times.sleep(600)
    assert serving(good=96, failed=4) == COMMITTED


def test_failures_that_the_old_version_had_too_do_not_condemn_the_new_one(home, bundles):
    first = installed(home, bundles[1], commit=True)
    assert report(home, version=first, good=50, failed=50) == SERVING
    second = installed(home, bundles[2], policy=EAGER)
    assert "failures" not in state_of(home).trial.judged
    begin(home)
    assert report(home, version=second, good=50, failed=50) == COMMITTED


def test_what_the_old_version_had_once_and_no_longer_has_counts_again(home, bundles):
    first = installed(home, bundles[1], commit=True)
    report(home, version=first, good=50, failed=50)
    report(home, version=first, good=1000, failed=0)
    installed(home, bundles[2])
    assert "failures" in state_of(home).trial.judged


def test_a_limit_that_the_old_version_kept_in_service_condemns(home, bundles, tmp_path):
    first = installed(home, bundles[1], commit=True)
    report(home, version=first, good=1, p99=0.005)
    second = installed(home, make_bundle(tmp_path, sequence=2, golden=LIMITED))
    begin(home)
    assert report(home, version=second, good=EAGER.good, p99=0.02) == ROLLED_BACK
    assert "p99" in state_of(home).bad[second]
    assert begin(home).id == first


def test_a_limit_that_the_old_version_missed_in_service_does_not(home, bundles, tmp_path):
    first = installed(home, bundles[1], commit=True)
    report(home, version=first, good=1, p99=0.03)
    second = installed(home, make_bundle(tmp_path, sequence=2, golden=LIMITED))
    begin(home)
    assert report(home, version=second, good=EAGER.good, p99=0.02) == COMMITTED


def test_a_limit_that_the_old_version_was_never_seen_to_keep_does_not_condemn(home, bundles, tmp_path):
    installed(home, bundles[1], commit=True)
    second = installed(home, make_bundle(tmp_path, sequence=2, golden=LIMITED), selftest=Told(v2=PERFECT))
    assert state_of(home).trial.judged == ("failures",)
    begin(home)
    assert report(home, version=second, good=EAGER.good, p99=9.0) == COMMITTED


def test_what_is_told_of_another_version_is_ignored(home, serving):
    serving.start()
    before = home.state.read_bytes()
    assert serving(version=serving.first, failed=1000) == IGNORED
    assert home.state.read_bytes() == before


def test_a_version_in_service_is_not_judged(home, bundles):
    first = installed(home, bundles[1], commit=True)
    assert report(home, version=first, failed=1000) == SERVING
    assert report(home, version=first, crashed=True) == SERVING
    assert begin(home).id == first


def test_a_version_in_service_writes_only_news(home, bundles):
    first = installed(home, bundles[1], commit=True)
    report(home, version=first, good=100, p99=0.010)
    before = home.state.stat().st_mtime_ns
    for p99 in (0.0095, 0.011, 0.0123):
        report(home, version=first, good=100, failed=1, p99=p99)
    assert home.state.stat().st_mtime_ns == before
    report(home, version=first, good=100, p99=0.013)
    assert state_of(home).served.p99 == 0.013


def test_a_trial_without_inferences_writes_nothing(home, serving, times):
    serving.start()
    before = home.state.stat().st_mtime_ns
    for second in range(20):
        times.sleep(5)
        assert serving(p99=0.01 + second / 1000) == ON_TRIAL
    assert home.state.stat().st_mtime_ns == before


def test_the_first_version_stays_although_it_fails(home, bundles):
    first = installed(home, bundles[1])
    begin(home)
    assert report(home, version=first, failed=100) == KEPT
    assert begin(home).id == first
    found = state_of(home)
    assert (found.trial, found.good, dict(found.bad)) == (None, None, {})
    assert history.events(home.root)[-1]["event"] == "kept"


def test_a_version_that_was_never_committed_is_on_trial_again_when_it_is_gone_back_to(home, bundles):
    """The good version is installed over one on trial, which becomes the way back."""
    first = installed(home, bundles[1], commit=True)
    second = installed(home, bundles[2], policy=STRICT)
    begin(home)
    assert installed(home, bundles[1], waived=["not-newer"]) == first
    begin(home)
    assert report(home, version=first, failed=100) == ROLLED_BACK
    found = state_of(home)
    assert (found.current, found.good, found.trial) == (second, None, Policy().trial())
    assert begin(home).id == second
    assert state_of(home).trial.attempts_left == 2
    assert report(home, version=second, failed=100) == KEPT


def test_a_version_that_was_committed_is_not_on_trial_when_it_is_gone_back_to(home, serving):
    serving.start()
    assert serving(failed=100) == ROLLED_BACK
    assert (state_of(home).current, state_of(home).good, state_of(home).trial) == (serving.first, serving.first, None)


def test_a_damaged_version_is_passed_over_and_not_called_bad(home, serving):
    (home.versions / serving.second / "model/model.onnx").unlink()
    assert serving.start() == serving.first
    assert state_of(home).bad == {}
    assert history.events(home.root)[-1]["event"] == "damaged"


def test_a_file_too_many_is_damage_too(home, serving):
    (home.versions / serving.second / "model/model.onnx.data").write_bytes(b"")
    assert serving.start() == serving.first


def test_when_all_are_damaged_nothing_serves_and_it_says_so(home, serving):
    for id in (serving.first, serving.second):
        (home.versions / id / "manifest.json").unlink()
    with pytest.raises(NothingInstalledError, match="damaged; install it again"):
        serving.start()


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_where_nothing_can_be_written_no_version_on_trial_is_given_out(error, home, serving, disk):
    disk(Failing(error, 0))
    assert serving.start() == serving.first


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS])
def test_where_nothing_can_be_written_a_good_version_serves(error, home, bundles, disk):
    first = installed(home, bundles[1], commit=True)
    failing = disk(Failing(error, 0))
    assert begin(home).id == first
    assert failing.failed == 0  # nothing had to be written


def test_where_nothing_can_be_written_a_used_up_version_is_left_all_the_same(home, serving, disk):
    for _ in range(3):
        serving.start()
    disk(Failing(errno.ENOSPC, 0))
    assert serving.start() == serving.first


def test_where_nothing_can_be_written_and_all_is_damaged_it_says_so(home, bundles, disk):
    first = installed(home, bundles[1], commit=True)
    second = installed(home, bundles[2])
    for id in (first, second):
        (home.versions / id / "manifest.json").unlink()
    disk(Failing(errno.ENOSPC, 0))
    with pytest.raises((HomeError, NothingInstalledError)):
        begin(home)


def test_a_full_disk_cannot_keep_a_failed_version_in_service_once_there_is_room(home, serving, disk):
    """What a full disk stops is tried again after what an interrupted install has left is removed."""
    serving.start()
    litter = home.staging / "half"
    litter.mkdir()
    (litter / "file").write_bytes(b"x")
    disk(Failing(errno.ENOSPC, 0, times=1))
    assert serving(failed=100) == ROLLED_BACK
    assert list(home.staging.iterdir()) == []
