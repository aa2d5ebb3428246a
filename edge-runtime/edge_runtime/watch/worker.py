"""Work on what the server has done, in a thread that the server never waits for.

``offer`` appends to a list under a lock and wakes nobody. The thread takes the whole list a few times a second, works
through it in small steps, and sleeps after each of them until it has kept to its share of one core: work done at one go
would keep requests waiting for as long, however seldom it came. What does not fit is dropped by reservoir sampling
(Vitter 1985, algorithm R), so that whatever was offered in a period had the same chance of being worked on:
``work(entries, chance)`` is told it, and drift is judged, and captures weighted, without bias.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from operator import itemgetter
from typing import Any

ENTRIES = 256
"""Calls that wait, at most."""
BYTES = 8 * 1024**2
"""Bytes of arrays that wait, at most; a call with more than an eighth of that is never kept."""
PERIOD = 0.25
"""Seconds between two rounds."""
SHARE = 0.02
"""Of one core, at most."""
GROUP = 16
"""Entries that are worked on together, at most."""

log = logging.getLogger("edge_runtime.watch")


class Worker:
    """``work`` is called in the thread with a few entries, in the order they came; ``idle`` after every round. What
    they raise is logged, once in a minute."""

    def __init__(
        self,
        name: str,
        work: Callable[[list[Any], float], None],
        idle: Callable[[], None],
        *,
        entries: int = ENTRIES,
        nbytes: int = BYTES,
        share: float = SHARE,
    ) -> None:
        self.offered = self.dropped = self.failed = 0
        self._work, self._idle, self._entries, self._bytes, self._share = work, idle, entries, nbytes, share
        self._lock = threading.Lock()
        self._round = threading.Lock()
        self._waiting: list[tuple[int, Any]] = []
        self._seen = 0  # entries offered in this period that could have been kept
        self._largest = 1
        self._told = -60.0
        self._stop = threading.Event()
        self._hurry = threading.Event()  # somebody waits for the round to end
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def offer(self, entry: Any, nbytes: int) -> None:
        """Any thread; some microseconds. ``nbytes``: of the arrays that the entry keeps alive."""
        with self._lock:
            self.offered += 1
            if nbytes * 8 > self._bytes or self._stop.is_set():
                self.dropped += 1
                return
            self._seen += 1
            waiting = self._waiting
            entry = self._seen, entry
            if nbytes > self._largest:
                self._largest = nbytes
                room = self._bytes // nbytes
                while len(waiting) > room:  # each as likely as the others
                    waiting[random.randrange(len(waiting))] = waiting[-1]
                    waiting.pop()
                    self.dropped += 1
            room = min(self._entries, self._bytes // self._largest)
            if len(waiting) < room and self._seen == len(waiting) + 1:
                waiting.append(entry)
                return
            self.dropped += 1
            place = random.randrange(self._seen)
            if place < len(waiting):
                waiting[place] = entry

    def drain(self) -> None:
        """Work on all that waits, in the caller's thread, without pauses: for tests and for the end."""
        self._hurry.set()
        with self._round:
            self._once()
            self._hurry.clear()

    def close(self) -> None:
        """Stop the thread, then work on what waits. What is offered from now on is dropped."""
        self._stop.set()
        self._hurry.set()
        self._thread.join(timeout=10)
        if not self._thread.is_alive():
            self.drain()

    def _run(self) -> None:
        while not self._stop.wait(PERIOD):
            with self._round:
                self._once()

    def _once(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
            seen, self._seen, self._largest = self._seen, 0, 1
        entries = [entry for _, entry in sorted(waiting, key=itemgetter(0))]
        chance = len(entries) / seen if seen else 1.0
        for start in range(0, len(entries), GROUP):
            begun, used = time.monotonic(), time.thread_time()
            self._guard(self._work, entries[start : start + GROUP], chance)
            rest = (time.thread_time() - used) / self._share - (time.monotonic() - begun)
            if rest > 0:
                self._hurry.wait(rest)
        self._guard(self._idle)

    def _guard(self, call: Callable[..., None], *arguments: Any) -> None:
        try:
            call(*arguments)
        except Exception as error:  # the thread must live on, whatever it was given
            self.failed += 1
            if time.monotonic() - self._told >= 60:
                self._told = time.monotonic()
                log.exception("%s could not work on observations: %s", self._thread.name, error)
