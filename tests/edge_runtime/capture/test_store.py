from __future__ import annotations

import errno
import random
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_runtime.capture import items, policy, store
from edge_runtime.capture.index import read_weights
from edge_runtime.capture.policy import Policy
from edge_runtime.capture.store import Captures

HOUR = 3600.0


class Clock:
    def __init__(self, now=500_000 * HOUR):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
def capture(tmp_path, reference):
    """Makes captures in an own folder, with these settings switched on."""
    made = []

    def make(*, of=reference, folder=tmp_path / "captures", clock=None, seed=0, **settings):
        if settings:
            policy.save(folder / "settings.json", Policy(**({"on": True} | settings)))
        captures = Captures(
            of, folder, version="7", labels="abcd", draw=random.Random(seed).random, clock=clock or Clock()
        )
        made.append(captures)
        return captures

    yield make
    for captures in made:
        captures.close()


def feed(captures, samples, *, each=1, version="7"):
    for start in range(0, len(samples[0]), each):
        captures.observe(*(part[start : start + each] for part in samples), 0.001, version)
        if start // each % 200 == 199:
            captures.worker.drain()
    captures.worker.drain()


def kept(captures):
    return [items.read(path) for _, path in items.names(captures.folder)]


def test_it_is_off_until_switched_on_and_writes_nothing(capture, inputs, tmp_path):
    captures = capture()
    feed(captures, inputs(200, 1))
    captures.flush()
    assert captures.worker.offered == 0
    assert not (tmp_path / "captures").exists()


def test_switching_on_and_off_reaches_a_running_server(capture, inputs, tmp_path):
    captures = capture()
    path = tmp_path / "captures" / "settings.json"
    policy.save(path, Policy(on=True, random=1))
    captures.worker.drain()
    feed(captures, inputs(20, 1))
    assert len(captures.index) > 0
    before = len(captures.index)
    policy.save(path, Policy(on=False, random=1))
    captures.worker.drain()
    feed(captures, inputs(20, 2))
    assert len(captures.index) == before


def test_damaged_settings_switch_it_off_and_are_noted(capture, tmp_path):
    captures = capture(random=1)
    (tmp_path / "captures" / "settings.json").write_bytes(b"{")
    captures.worker.drain()
    assert "capturing is off" in captures.notes[0]
    assert {s.name: s.value for s in captures.metrics()}["edge_runtime_captures_on"] == 0


def test_a_capture_holds_the_input_and_all_that_is_known_of_it(capture, inputs):
    captures = capture(random=1, near=-1)
    pictures, logits = inputs(5, 1)
    feed(captures, (pictures, logits))
    assert len(captures.index) == 5
    for sample, record in kept(captures):
        (index,) = np.flatnonzero((pictures == sample).all(axis=(1, 2, 3)))
        shares = np.exp(logits[index]) / np.exp(logits[index]).sum()
        assert record.version == "7" and record.time == 500_000 * HOUR and record.propensity == 1
        assert record.prediction.index == shares.argmax()
        assert record.prediction.label == "abcd"[shares.argmax()]
        assert record.prediction.confidence == pytest.approx(shares.max(), abs=1e-5)
        assert "random" in record.reasons


def test_uncertain_and_drifting_inputs_are_kept_more_often(capture, inputs):
    captures = capture(random=0.001, uncertain=0.5, drifting=0.9, hourly=100_000, near=-1)
    pictures, logits = inputs(1500, 1)
    logits[:500] = [0, 0, 0, 0]
    pictures[500:1000] = 255 - pictures[500:1000] // 4
    feed(captures, (pictures, logits))
    reasons = [record.reasons for _, record in kept(captures)]
    uncertain = sum("uncertain" in reason for reason in reasons)
    drifting = sum("drifting" in reason for reason in reasons)
    assert 200 < uncertain < 330
    assert drifting > 400
    assert len(reasons) < uncertain + drifting + 30


@pytest.mark.parametrize("each", [1, 200])
def test_how_often_inputs_are_kept_is_what_their_propensity_says(capture, inputs, each):
    """Summed over many draws: the weights of what is kept estimate how many there were, within 4.5 sigma."""
    captures = capture(random=0.05, uncertain=0.4, drifting=0.3, hourly=100_000, near=-1)
    samples = inputs(6000, 1)
    feed(captures, samples, each=each)
    records = [record for _, record in kept(captures)]
    assert captures.counts["missed: the hour's quota is used up"] == 0
    propensities = np.array([record.propensity for record in records])
    estimate, sigma = (1 / propensities).sum(), np.sqrt(((1 - propensities) / propensities**2).sum())
    assert abs(estimate - 6000) < 4.5 * sigma
    unsure = np.array(["uncertain" in record.reasons for record in records])
    known = policy.Policy(on=True).thresholds(captures._model[0])["uncertain"]
    from edge_runtime.watch.outputs import read

    truth = (read(samples[1]).entropy > known).sum()
    estimate = (1 / propensities[unsure]).sum()
    assert abs(estimate - truth) < 4.5 * np.sqrt(((1 - propensities) / propensities**2)[unsure].sum())
    if each == 200:  # only 64 of 200 are considered, and the propensity says so
        assert propensities.max() == pytest.approx(0.4 * 64 / 200)


def test_what_the_thread_has_no_time_for_is_part_of_the_propensity(capture, inputs):
    captures = capture(random=0.5, hourly=100_000, near=-1, of=None)
    pictures, logits = inputs(6000, 1)
    for start in range(0, 6000, 600):  # 600 calls in a round, of which 256 can wait
        for index in range(start, start + 600):
            captures.observe(pictures[index : index + 1], logits[index : index + 1], 0.001, "7")
        captures.worker.drain()
    propensities = np.array([record.propensity for _, record in kept(captures)])
    assert np.allclose(propensities, 0.5 * 256 / 600)
    assert (1 / propensities).sum() == pytest.approx(6000, abs=4.5 * np.sqrt(10 * 256 * 0.25) / propensities[0])


def test_under_a_quota_the_estimate_stays_true(capture, inputs, tmp_path):
    """Forty hours in which a quota of 30 thins out 300 inputs of probability 1: their number is still estimated."""
    clock = Clock()
    captures = capture(random=1, hourly=30, near=-1, clock=clock, of=None)
    estimates = []
    for hour in range(40):
        clock.now = (500_000 + hour) * HOUR
        before = len(captures.index)
        feed(captures, inputs(300, hour), each=10)
        assert len(captures.index) - before <= 30
        estimates.append(sum(list(captures.index.weights.values())[before:]))
    assert captures.counts["missed: the hour's quota is used up"] == 0
    assert np.mean(estimates) == pytest.approx(300, abs=4.5 * np.std(estimates) / np.sqrt(40))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(1, 12),
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from([0, 600, 3600, -3600])), min_size=1, max_size=6),
    st.integers(600, 20_000),
)
def test_no_hour_and_no_disk_quota_is_ever_exceeded(reference, inputs, tmp_path_factory, hourly, bursts, disk):
    """Also across restarts, and when the clock goes back."""
    folder, clock = tmp_path_factory.mktemp("captures"), Clock()
    policy.save(folder / "settings.json", Policy(on=True, random=1, hourly=hourly, disk_bytes=disk, near=-1))
    for number, (count, step) in enumerate(bursts):
        clock.now += step
        with Captures(None, folder, version="7", draw=random.Random(number).random, clock=clock) as captures:
            feed(captures, inputs(count, number))
            found = [(name, path.stat().st_size) for name, path in items.names(folder)]
            assert sum(size for _, size in found) == captures.index.bytes <= disk
            hours = [name.second // 3600 for name, _ in found]
            assert all(hours.count(hour) <= hourly for hour in hours)


def test_used_up_quotas_are_counted_as_missed(capture, inputs):
    captures = capture(random=1, hourly=2, near=-1, of=None)
    feed(captures, inputs(20_000, 1), each=50)
    assert captures.counts["kept"] == 2
    assert captures.counts["missed: the hour's quota is used up"] > 0
    other = capture(random=1, disk_bytes=600, near=-1, of=None)
    other._hour = -1
    feed(other, inputs(50, 2))
    assert other.counts["missed: the disk quota is used up"] > 0
    assert "its quota: export and remove" in other.notes[0]


def test_the_same_input_is_stored_once_and_weighs_for_all(capture, inputs):
    captures = capture(random=0.5, hourly=100_000, of=None)
    pictures, logits = inputs(1, 1)
    for _ in range(2000):
        captures.observe(pictures, logits, 0.001, "7")
        captures.worker.drain()
    assert len(captures.index) == 1
    (weight,) = captures.index.weights.values()
    assert weight == pytest.approx(2000, abs=4.5 * np.sqrt(2000 * 0.5 / 0.5))
    captures.flush()
    again = capture(of=None)
    assert list(again.index.weights.values()) == [weight]


@pytest.mark.parametrize(("damaged", "weight"), [(False, 4), (True, 2)])
def test_after_a_crash_an_input_still_weighs_for_itself(capture, inputs, damaged, weight):
    picture = inputs(1, 1)
    captures = capture(random=0.5, of=None)
    captures._draw = lambda: 0.0
    feed(captures, picture)  # and the weights are never written
    ((name, path),) = items.names(captures.folder)
    if damaged:
        path.write_bytes(b"")
    again = capture(of=None)
    again._draw = lambda: 0.0
    feed(again, picture)
    again.flush()
    assert read_weights(again.folder) == {name.exact: weight}
    assert again.worker.failed == 0


def test_a_picture_with_a_little_noise_counts_as_the_one_before(capture, inputs):
    random_ = np.random.default_rng(0)
    pictures, logits = inputs(30, 1)
    noisy = np.clip(pictures + random_.normal(0, 0.5, pictures.shape), 0, 255).astype(np.uint8)
    captures = capture(random=1, hourly=100_000, near=6, of=None)
    feed(captures, (pictures, logits))
    first = len(captures.index)
    feed(captures, (noisy, logits))
    assert len(captures.index) - first <= 3
    assert sum(captures.index.weights.values()) == pytest.approx(60)


def test_what_is_too_old_is_removed(capture, inputs):
    clock = Clock()
    captures = capture(random=1, days=1, clock=clock, near=-1, of=None)
    feed(captures, inputs(3, 1))
    clock.now += 23 * HOUR
    feed(captures, inputs(3, 2))
    assert len(captures.index) == 6
    clock.now += 2 * HOUR
    feed(captures, inputs(3, 3))
    assert len(captures.index) == 6
    assert min(record.time for _, record in kept(captures)) > 500_000 * HOUR


def test_captures_of_a_clock_that_was_ahead_stay_and_use_up_no_other_hour(capture, inputs):
    clock = Clock(500_000 * HOUR + 365 * 24 * HOUR)
    captures = capture(random=1, hourly=5, days=1, near=-1, clock=clock, of=None)
    captures._draw = lambda: 0.0
    feed(captures, inputs(200, 1))
    assert captures.counts["kept"] == 5
    clock.now = 500_000 * HOUR
    feed(captures, inputs(200, 2))
    assert captures.counts["kept"] == len(kept(captures)) == 10


def test_a_full_disk_stops_it_and_says_so_and_it_goes_on_later(capture, inputs, monkeypatch):
    captures = capture(random=1, near=-1, of=None)
    write = store.durable.write_file

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store.durable, "write_file", full)
    feed(captures, inputs(5, 1))
    assert captures.counts["kept"] == 0 and captures.counts["missed: the disk refused"] == 5
    assert captures.notes == [f"capturing into {captures.folder} has stopped for 600 s: No space left on device"]
    assert {s.name: s.value for s in captures.metrics()}["edge_runtime_captures_stopped"] == 1
    assert captures.worker.failed == 0
    monkeypatch.setattr(store.durable, "write_file", write)
    captures._rest_until = 0
    feed(captures, inputs(5, 1))
    assert captures.counts["kept"] == 5


def test_a_disk_that_runs_low_is_left_to_updates(capture, inputs, monkeypatch):
    captures = capture(random=1, near=-1, of=None)
    real = store.os.statvfs(captures.folder)
    low = type("Low", (), {"f_bavail": 10, "f_frsize": real.f_frsize})
    monkeypatch.setattr(store.os, "statvfs", lambda path: low)
    feed(captures, inputs(3, 1))
    assert captures.counts["kept"] == 0 and "bytes are free" in captures.notes[0]


@pytest.mark.parametrize("obstacle", ["file", "dangling"])
def test_a_folder_that_cannot_be_made_is_noted(reference, inputs, tmp_path, obstacle):
    folder = tmp_path / "captures"
    folder.write_text("in the way") if obstacle == "file" else folder.symlink_to(tmp_path / "nowhere" / "else")
    with Captures(reference, folder, version="7") as captures:
        captures._policy = Policy(on=True, random=1)
        captures._settings_seen = captures._settings_seen
        captures.observe(*inputs(1, 1), 0.001, "7")
        for seen in [list(captures.worker._waiting)]:
            captures._work([entry for _, entry in seen], 1.0)
        assert "has stopped" in captures.notes[-1]


def test_a_capture_removed_by_somebody_else_is_kept_again_in_the_next_hour(capture, inputs):
    clock = Clock()
    captures = capture(random=1, clock=clock, near=-1, of=None)
    feed(captures, inputs(1, 1))
    for _, path in items.names(captures.folder):
        path.unlink()
    clock.now += HOUR
    feed(captures, inputs(1, 1))
    assert len(kept(captures)) == 1


def test_hostile_arrays_and_other_versions_never_raise(capture, inputs):
    captures = capture(random=1, near=2)
    pictures, logits = inputs(3, 1)
    captures.observe(None, None, 0.0, "7")
    feed(captures, (pictures.astype(np.float32), logits))
    feed(captures, (pictures, logits[:, :2]))
    feed(captures, (pictures, logits), version="6")
    feed(captures, (pictures, np.full_like(logits, np.nan)))
    assert captures.worker.failed == 0
    assert captures.counts["considered"] == 3
    assert all(np.isfinite(record.prediction.entropy) for _, record in kept(captures))


def test_memory_does_not_grow_with_the_stream(capture, inputs):
    captures = capture(random=0.001, uncertain=0.01, drifting=0.01, hourly=5)
    samples = inputs(2000, 1)
    feed(captures, samples, each=20)
    tracemalloc.start()
    for _ in range(3):
        feed(captures, samples, each=20)
    early, _ = tracemalloc.get_traced_memory()
    for _ in range(20):
        feed(captures, samples, each=20)
    late, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert late - early < 50_000


def test_metrics_follow_the_naming_rules(capture, inputs):
    captures = capture(random=1)
    feed(captures, inputs(3, 1))
    for sample in captures.metrics():
        assert sample.name.startswith("edge_runtime_capture") and sample.help
        assert (sample.kind == "counter") == sample.name.endswith("_total")


def test_a_record_names_the_bundle_and_not_a_number_that_every_model_has(inputs, tmp_path):
    folder = tmp_path / "captures"
    policy.save(folder / "settings.json", Policy(on=True, random=1.0, near=-1))
    pictures, logits = inputs(2, 1)
    with Captures(None, folder, version="1", id="a" * 64, labels="abcd") as captures:
        captures.observe(pictures[:1], logits[:1], 0.001, "1")
        captures.flush()
        captures.switch(None, "1", "abcd", "b" * 64)  # another model, which has a number 1 too
        captures.observe(pictures[1:], logits[1:], 0.001, "1")
        captures.flush()
    assert {items.read(path)[1].version for _, path in items.names(folder)} == {"a" * 64, "b" * 64}
