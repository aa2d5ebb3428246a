from __future__ import annotations

import threading
import time
from itertools import pairwise

import numpy as np
import pytest

from edge_runtime.watch import worker as module
from edge_runtime.watch.worker import Worker


@pytest.fixture
def idle_worker(monkeypatch):
    """Makes workers whose thread does nothing: only ``drain`` works."""
    monkeypatch.setattr(module, "PERIOD", 3600)
    made = []

    def make(work, **options):
        made.append(Worker("test", work, lambda: None, **options))
        return made[-1]

    yield make
    for worker in made:
        worker.close()


def test_entries_come_in_order_with_the_chance_they_had(idle_worker):
    got = []
    worker = idle_worker(lambda entries, chance: got.append((entries, chance)))
    for number in range(70):
        worker.offer(number, 100)
    worker.drain()
    assert [number for entries, _ in got for number in entries] == list(range(70))
    assert {chance for _, chance in got} == {1.0}
    assert max(len(entries) for entries, _ in got) <= module.GROUP


def test_what_does_not_fit_is_dropped_with_the_same_chance_for_all(idle_worker):
    got, chances = np.zeros(50), set()

    def work(entries, chance):
        got[entries] += 1
        chances.add(chance)

    worker = idle_worker(work, entries=10)
    rounds = 3000
    for _ in range(rounds):
        for number in range(50):
            worker.offer(number, 1)
        worker.drain()
    assert chances == {0.2}
    assert worker.dropped == rounds * 40
    # binomial: 600 +- 22 each; the largest of 50 deviations stays below 4.5 sigma in all but 3 of 10,000 runs
    assert np.abs(got - 600).max() < 4.5 * np.sqrt(rounds * 0.2 * 0.8)


def test_larger_entries_shrink_the_queue_and_the_chances_stay_equal(idle_worker):
    got = np.zeros(40)
    factors = []

    def work(entries, chance):
        got[entries] += 1 / chance
        factors.append(chance)

    worker = idle_worker(work, entries=20, nbytes=800)
    rounds = 3000
    for _ in range(rounds):
        for number in range(40):
            worker.offer(number, 80 if number == 30 else 10)  # from number 30 on only ten fit
        worker.drain()
    assert set(factors) == {0.25}
    assert np.abs(got / rounds - 1).max() < 4.5 * np.sqrt(3 / rounds)


def test_an_entry_that_is_too_large_is_never_kept(idle_worker):
    got = []
    worker = idle_worker(lambda entries, chance: got.extend(entries), nbytes=800)
    worker.offer("large", 101)
    worker.offer("small", 100)
    worker.drain()
    assert got == ["small"] and worker.dropped == 1


def test_the_bytes_that_wait_are_bounded(idle_worker):
    worker = idle_worker(lambda entries, chance: None, nbytes=100_000)
    random = np.random.default_rng(0)
    for size in random.integers(1, 12_500, 5000).tolist():
        worker.offer(size, size)
        assert sum(size for _, size in worker._waiting) <= 100_000


def test_work_that_raises_is_counted_and_the_thread_lives_on(idle_worker, caplog):
    def work(entries, chance):
        raise ZeroDivisionError("on purpose")

    worker = idle_worker(work)
    for _ in range(3):
        worker.offer(1, 1)
        worker.drain()
    assert worker.failed == 3
    assert caplog.text.count("could not work on observations: on purpose") == 1


def test_slow_work_does_not_slow_those_who_offer():
    slow = threading.Event()
    worker = Worker("test", lambda entries, chance: slow.wait(2), lambda: None)
    worker.offer(1, 1)
    time.sleep(0.4)  # now the thread is busy
    begun = time.perf_counter()
    for _ in range(10_000):
        worker.offer(1, 1)
    assert time.perf_counter() - begun < 1
    assert worker.dropped == 10_000 - module.ENTRIES
    slow.set()
    worker.close()


def test_work_is_spread_evenly_and_keeps_to_its_share_of_a_core():
    spans: list[tuple[float, float, float]] = []

    def work(entries, chance):
        begun, used = time.monotonic(), time.thread_time()
        while time.thread_time() - used < 0.002:
            pass
        spans.append((begun, time.monotonic(), time.thread_time() - used))

    worker = Worker("test", work, lambda: None, share=0.05)
    for _ in range(4 * module.GROUP):
        worker.offer(1, 1)
    deadline = time.monotonic() + 10
    while len(spans) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(spans) == 4
    for (begun, _, used), (following, _, _) in pairwise(spans):
        assert following - begun >= 0.95 * used / 0.05
    worker.close()


def test_whoever_waits_for_the_work_does_not_wait_for_its_pauses():
    def work(entries, chance):
        end = time.thread_time() + 0.001
        while time.thread_time() < end:
            pass

    worker = Worker("test", work, lambda: None, share=0.0001)
    for _ in range(4 * module.GROUP):
        worker.offer(1, 1)
    time.sleep(2 * module.PERIOD)  # now the thread rests for ten seconds
    begun = time.monotonic()
    worker.drain()
    worker.close()
    assert time.monotonic() - begun < 5


def test_after_the_end_everything_is_dropped():
    got = []
    worker = Worker("test", lambda entries, chance: got.extend(entries), lambda: None)
    worker.offer("before", 1)
    worker.close()
    worker.offer("after", 1)
    worker.drain()
    assert got == ["before"]
