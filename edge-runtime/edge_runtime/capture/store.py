"""Keeping captured inputs within an hour's quota and the disk's, without the server noticing.

A server calls ``observe`` after every inference, as for a monitor; while capturing is off that costs a look at one
attribute. The rest happens in a thread of its own, which draws by the ``policy``, leaves out what is on the disk
already, and writes. An input like one that is there is counted for that one: its weight (the sum of 1 / propensity
over all that fell on it) says how many inputs of the stream it stands for.

When the disk refuses or runs low, capturing stops, says so in ``notes`` and ``metrics``, and tries again after ten
minutes. Settings are read anew when their file changes, so `edge-runtime captures on` reaches a running server.
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.capture import hashes, policy
from edge_runtime.capture.candidates import Candidate, candidates
from edge_runtime.capture.index import Index
from edge_runtime.capture.items import Name, Record, encode, remove_expired
from edge_runtime.errors import CaptureSettingsError
from edge_runtime.limits import CAPTURE_BYTES, CAPTURES, SPARE_BYTES
from edge_runtime.serve.metrics import Sample
from edge_runtime.update import durable
from edge_runtime.watch.observation import Observation, together
from edge_runtime.watch.reference import Reference
from edge_runtime.watch.worker import Worker

ROWS = 64
"""Samples of one call that are considered, drawn at random from a larger batch; their probability says so."""
RETRY_SECONDS = 600.0
"""How long capturing rests after the disk has refused."""
SAVE_SECONDS = 60.0
SPARE = 8 * SPARE_BYTES
"""Free bytes that capturing leaves on the file system: updates need room more than captures do."""
NOTES = 20

log = logging.getLogger("edge_runtime.capture")


class Captures:
    """``folder`` holds settings.json, weights.json and the inputs. ``labels``: names of the classes, for the records.
    ``id``: the bundle's, which they name too; without one, ``version``, of which each model's name has its own.

    ``observe`` never raises, and waits for nothing but other calls of it. ``draw`` and ``clock`` are for tests: uniform
    numbers in [0, 1), and seconds since 1970. Raises DriftReferenceError for a damaged reference.
    """

    def __init__(
        self,
        reference: dict[str, Any] | None,
        folder: Path,
        *,
        version: str = "",
        id: str = "",
        labels: Sequence[str] = (),
        draw: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.folder, self._draw, self._clock = Path(folder), draw, clock
        self.notes: list[str] = []
        self.counts: Counter[str] = Counter()
        """What became of samples since the start: considered, kept, duplicate, and missed by reason."""
        self._settings = self.folder / "settings.json"
        self._settings_seen: object = None
        self._policy = policy.Policy()
        self._rest_until = float("-inf")
        self._hour = -1
        self._used = 0  # of the hour's quota
        self.switch(reference, version, labels, id)
        self.index = Index(self.folder)
        self._read_settings()
        self._saved = time.monotonic()
        self.worker = Worker("edge-runtime-captures", self._work, self._idle)

    def switch(self, reference: dict[str, Any] | None, version: str, labels: Sequence[str] = (), id: str = "") -> None:
        """Capture by another version's reference from now on. Raises DriftReferenceError, and then nothing changes."""
        known = None if reference is None else Reference(reference)
        self._model = known, version, tuple(labels), id or version

    def observe(
        self,
        inputs: np.ndarray,
        outputs: np.ndarray,
        seconds: float,
        version: str,
        *,
        embeddings: np.ndarray | None = None,
    ) -> None:
        """One inference, as ``Monitor.observe`` takes it."""
        if not self._policy.on:
            return
        try:
            size = inputs.nbytes + outputs.nbytes + (0 if embeddings is None else embeddings.nbytes)
            self.worker.offer(Observation(inputs, outputs, embeddings, 0, len(inputs), version), size)
        except Exception as error:  # serving goes on, whatever it handed in
            self._note(f"an observation could not be taken: {type(error).__name__}: {error}")

    def metrics(self) -> list[Sample]:
        found = [
            Sample("edge_runtime_captures_on", float(self._policy.on), help="1 while capturing is on."),
            Sample("edge_runtime_captures_stopped", float(self._resting()), help="1 while the disk keeps it from it."),
            Sample("edge_runtime_captures_bytes", float(self.index.bytes), help="Bytes of captured inputs."),
            Sample("edge_runtime_captures", float(len(self.index)), help="Captured inputs on the disk."),
        ]
        for event, count in sorted(self.counts.items()):
            labels = {"event": event}
            said = "Samples since the start, by what became of them."
            found.append(Sample("edge_runtime_capture_samples_total", float(count), labels, "counter", said))
        dropped = self.worker.dropped
        name = "edge_runtime_capture_dropped_total"
        return [*found, Sample(name, float(dropped), {}, "counter", "Calls that there was no time to consider.")]

    def flush(self) -> None:
        """Consider all that waits, in the caller's thread, and write the weights down."""
        self.worker.drain()
        self._save()

    def close(self) -> None:
        self.worker.close()
        self._save()

    def __enter__(self) -> Captures:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _work(self, entries: list[Observation], chance: float) -> None:
        reference, version, labels, id = self._model
        for seen in together(entries, ROWS):
            if seen.version != version or not self._policy.on:
                continue
            inputs, outputs, embeddings = seen[:3]
            if len(inputs) != len(outputs) or (reference and not reference.layout.fits(inputs, outputs, embeddings)):
                self.counts["unfit"] += len(inputs)
                continue
            self.counts["considered"] += len(inputs)
            for candidate in candidates(seen, reference, labels, self._policy, chance, self._draw):
                self._consider(candidate, id)

    def _consider(self, candidate: Candidate, id: str) -> None:
        now = self._clock()
        if why := self._full(now):
            self.counts[f"missed: {why}"] += 1
            return
        own = candidate.own * self._policy.quota(self._used)
        if candidate.drawn >= own:
            self.counts["thinned"] += 1
            return
        propensity = own * candidate.considered
        near = hashes.near(candidate.sample) if self._policy.near >= 0 else None
        name = Name(int(now), hashes.exact(candidate.sample)[:32], near)
        if alike := self.index.find(name, self._policy.near):
            self.index.weigh(alike, 1 / propensity)
            self.counts["duplicate"] += 1
            return
        record = Record(now, id, propensity, candidate.reasons, candidate.prediction)
        self._keep(name, encode(candidate.sample, record), 1 / propensity)

    def _keep(self, name: Name, data: bytes, weight: float) -> None:
        if len(data) > CAPTURE_BYTES or self.index.bytes + len(data) > self._policy.disk_bytes:
            self.counts["missed: the disk quota is used up"] += 1
            self._note(f"{self.folder} holds {self.index.bytes} bytes, its quota: export and remove captures")
            return
        try:
            if not self.folder.is_dir():
                durable.make_folders(self.folder)
                self.folder.chmod(0o700)
            state = os.statvfs(self.folder)
            if state.f_bavail * state.f_frsize < SPARE + len(data):
                raise OSError(None, f"less than {SPARE} bytes are free")
            durable.write_file(self.folder / f"{name.id}.npz", data)
        except OSError as error:
            self._rest_until = time.monotonic() + RETRY_SECONDS
            self.counts["missed: the disk refused"] += 1
            self._note(f"capturing into {self.folder} has stopped for {RETRY_SECONDS:.0f} s: {error.strerror}")
            return
        self.index.add(name, len(data), weight)
        self.counts["kept"] += 1
        self._used += 1

    def _full(self, now: float) -> str:
        """Why nothing can be kept now; empty when something can."""
        if self._resting():
            return "the disk refused"
        hour = int(now // 3600)
        if hour != self._hour:  # also when a clock is set back
            self._hour = hour
            try:
                remove_expired(self.folder, self._policy.days, now)
            except OSError as error:
                self._note(f"old captures in {self.folder} cannot be removed: {error.strerror}")
            self.index = Index(self.folder, self.index)
            self._used = self.index.within(hour * 3600, (hour + 1) * 3600)
        if len(self.index) >= CAPTURES:
            return "too many captures"
        return "the hour's quota is used up" if self._used >= self._policy.hourly else ""

    def _resting(self) -> bool:
        return time.monotonic() < self._rest_until

    def _idle(self) -> None:
        self._read_settings()
        if time.monotonic() - self._saved >= SAVE_SECONDS:
            self._save()

    def _save(self) -> None:
        self._saved = time.monotonic()
        try:
            self.index.save()
        except OSError as error:
            self._note(f"the weights of captures in {self.folder} cannot be written: {error.strerror}")

    def _read_settings(self) -> None:
        try:
            status = self._settings.stat()
            seen: object = (status.st_mtime_ns, status.st_ino, status.st_size)
        except OSError as error:
            seen = error.errno
        if seen == self._settings_seen:
            return
        self._settings_seen = seen
        try:
            self._policy = policy.load(self._settings)
            self._hour = -1  # count anew what is there
        except CaptureSettingsError as error:
            self._policy = policy.Policy()
            self._note(f"capturing is off: {error}")

    def _note(self, text: str) -> None:
        """Say it once, in the log and in ``notes``."""
        if text not in self.notes:
            log.warning("%s", text)
            self.notes = [*self.notes, text][-NOTES:]
