"""Watching a model at work: how long it takes, and whether its inputs are still what they were.

A server calls ``observe`` after every inference. That counts the duration and hands the arrays over; everything else
happens in a thread of the monitor's own, which uses at most a fiftieth of a core and looks at a fair draw of what it
has no time for. There the samples go into windows compared with the bundle's reference (``windows``), and their
confidence into ADWIN and Page-Hinkley (``sequential``). ``alarms`` tells what has been found, ``metrics`` gives it to a
page.

What has been seen is kept in ``watch.json`` in a folder, written whole every five minutes, at every alarm and at the
end, so that a window goes on after a restart. A file that is damaged, or of another version or reference, is started
anew, and ``notes`` says so.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import WatchError
from edge_runtime.serve.metrics import Sample
from edge_runtime.watch.alarms import Alarm, Alarms
from edge_runtime.watch.drift import Drift
from edge_runtime.watch.histograms import Durations
from edge_runtime.watch.observation import Observation, together
from edge_runtime.watch.reference import WINDOWS, Reference
from edge_runtime.watch.report import samples
from edge_runtime.watch.state import load, save
from edge_runtime.watch.worker import Worker

WINDOW = 500
"""Samples in a window."""
ROWS = 64
"""Samples of one call that are looked at, drawn at random from a larger batch."""
SAVE_SECONDS = 300.0
NOTES = 20
"""Notes that are kept, the latest."""

_DAMAGE = (KeyError, TypeError, ValueError, AttributeError, OverflowError, IndexError)

log = logging.getLogger("edge_runtime.watch")


class Monitor:
    """``reference``: what ``summarize`` made, or None: then only durations and confidence are watched.

    ``folder`` is made if need be. ``window``: samples, one of ``reference.WINDOWS`` or more. ``spacing``: seconds
    between two calls that are looked at; for a camera, whose pictures resemble the ones before, some seconds at least,
    or every new scene is a change. All methods may be called from any thread; ``observe`` never raises, and waits
    for nothing but other calls of it. Raises DriftReferenceError for a damaged reference, and WatchError for a
    window that is too small.
    """

    def __init__(
        self,
        reference: dict[str, Any] | None,
        folder: Path,
        *,
        version: str = "",
        window: int = WINDOW,
        spacing: float = 0.0,
        save_seconds: float = SAVE_SECONDS,
    ) -> None:
        if window < min(WINDOWS):
            raise WatchError(
                f"a window of {window} samples: fewer than {min(WINDOWS)} cannot be told from chance; make it larger"
            )
        self.path = Path(folder) / "watch.json"
        self.window, self._spacing, self._save_seconds = window, spacing, save_seconds
        self.notes: list[str] = []
        self._counting = threading.Lock()
        self._judging = threading.RLock()  # of what the thread changes
        self._look_after = float("-inf")
        self._start(reference, version)
        self._restore()
        self._saved = time.monotonic()
        self._told = {alarm.detector for alarm in self.drift.alarms.on()}
        self.worker = Worker("edge-runtime-watch", self._work, self._idle)

    @property
    def version(self) -> str:
        return self.drift.version

    @property
    def reference(self) -> Reference | None:
        return self.drift.reference

    def observe(
        self,
        inputs: np.ndarray,
        outputs: np.ndarray,
        seconds: float,
        version: str,
        *,
        embeddings: np.ndarray | None = None,
    ) -> None:
        """One inference: ``inputs`` (N, ...), ``outputs`` (N, C), how long it took, and the version that answered.

        The arrays are kept for a moment and only read: whoever writes to them afterwards hands in copies.
        """
        try:
            now = time.monotonic()
            with self._counting:
                self.durations.add(seconds)
                first = self.observed + 1
                self.observed += len(inputs)
                if version != self.drift.version or now < self._look_after:
                    return
                self._look_after = now + self._spacing
            size = inputs.nbytes + outputs.nbytes + (0 if embeddings is None else embeddings.nbytes)
            self.worker.offer(Observation(inputs, outputs, embeddings, first, len(inputs), version), size)
        except Exception as error:  # serving goes on, whatever it handed in
            self._note(f"an observation could not be taken: {type(error).__name__}: {error}")

    def labelled(self, wrong: Sequence[bool], version: str) -> None:
        """Whether the model was wrong, for samples whose true label has become known, in the order they came."""
        with self._judging:
            if version == self.version:
                self.drift.add_labelled(wrong, time.time())

    def alarms(self) -> list[Alarm]:
        """Those that are over, oldest first, and then those that are on."""
        with self._judging:
            return self.drift.alarms.all()

    def metrics(self) -> list[Sample]:
        with self._judging, self._counting:
            return samples(self)

    def switch(self, reference: dict[str, Any] | None, version: str) -> None:
        """Watch another version from now on, from its beginning. Alarms that are on are over: they were of the old."""
        new = None if reference is None else Reference(reference)
        with self._judging:
            alarms = self.drift.alarms
            alarms.end_all(time.time())
            self.drift = Drift(new, self.window, alarms, version)
            self._save()

    def flush(self) -> None:
        """Look at all that waits, in the caller's thread, and write the state down."""
        self.worker.drain()
        with self._judging:
            self._save()

    def close(self) -> None:
        self.worker.close()
        with self._judging:
            self._save()

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _start(self, reference: dict[str, Any] | None, version: str) -> None:
        self.durations, self.observed = Durations(), 0
        known = None if reference is None else Reference(reference)
        self.drift = Drift(known, self.window, Alarms(), version)

    def _work(self, entries: list[Observation], chance: float) -> None:
        """In the thread. ``chance`` is the same for all calls of a round, so what is looked at is a fair draw."""
        for observation in together(entries, ROWS):
            with self._judging:
                if observation.version == self.version:
                    self.drift.add(observation, time.time())

    def _idle(self) -> None:
        """In the thread, after each round."""
        with self._judging:
            on = self.drift.alarms.on()
            for alarm in on:
                if alarm.detector not in self._told:
                    log.warning("%s", alarm, extra={"alarm": alarm.detector})
            names = {alarm.detector for alarm in on}
            changed, self._told = names != self._told, names
            if changed or time.monotonic() - self._saved >= self._save_seconds:
                self._save()

    def _identity(self) -> dict[str, Any]:
        digest = None if self.reference is None else self.reference.digest
        return {"version": self.version, "reference": digest, "window": self.window}

    def _save(self) -> None:
        self._saved = time.monotonic()
        with self._counting:
            state = {"observed": self.observed, "durations": self.durations.state()}
        state |= {"identity": self._identity(), "alarms": self.drift.alarms.state(), "drift": self.drift.state()}
        try:
            save(self.path, state)
        except OSError as error:
            self._note(f"{self.path} cannot be written ({error.strerror}): a restart will forget what was watched")

    def _restore(self) -> None:
        state, why = load(self.path)
        if state is None:
            if why:
                self._note(f"{self.path} {why}: watching starts anew")
            return
        try:
            self.durations.restore(state["durations"])
            self.observed = int(state["observed"])
            self.drift.alarms.restore(state["alarms"])
            if state["identity"] == self._identity():
                self.drift.restore(state["drift"])
            else:
                self.drift.alarms.end_all(time.time())
                self._note(f"{self.path} is of another version, reference or window: drift is judged anew")
        except _DAMAGE as error:
            self._note(f"{self.path} is damaged ({type(error).__name__}: {error}): watching starts anew")
            self._start(None if self.reference is None else self.reference.summary, self.version)

    def _note(self, text: str) -> None:
        """Say it once, in the log and in ``notes``."""
        if text not in self.notes:
            log.warning("%s", text)
            self.notes = [*self.notes, text][-NOTES:]
