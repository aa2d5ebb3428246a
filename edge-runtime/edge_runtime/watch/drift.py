"""Everything that judges drift, without threads, clocks or files: samples go in, alarms come out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edge_runtime.watch import outputs as reading
from edge_runtime.watch.adwin import Adwin
from edge_runtime.watch.alarms import Alarms
from edge_runtime.watch.observation import Observation
from edge_runtime.watch.page_hinkley import PageHinkley
from edge_runtime.watch.reference import Reference
from edge_runtime.watch.sequential import Sequential
from edge_runtime.watch.windows import Windows

LABELLED = 100
"""Samples with a true label in a window of errors."""


class Drift:
    """The detectors for one version of a model. ``alarms`` outlive it. Not locked."""

    def __init__(self, reference: Reference | None, window: int, alarms: Alarms, version: str) -> None:
        self.reference, self.window, self.alarms, self.version = reference, window, alarms, version
        self.labels = 0
        self.judged = self.unfit = 0
        self.windows = None if reference is None else Windows(reference, window, alarms, version)
        self._streams = [Sequential("adwin", "confidence", Adwin(), window, alarms, version)]
        self._units = [(0.0, 1.0)]  # ADWIN's bound is for values between 0 and 1
        if reference is not None and reference.page_hinkley is not None:
            detector = PageHinkley(**reference.page_hinkley)
            self._streams.append(Sequential("page-hinkley", "confidence", detector, window, alarms, version))
            self._units.append(reference.confidence)
        self._mistakes = Sequential(
            "errors", "errors", Adwin(), LABELLED, alarms, version, what="error rate rose", rising=True
        )

    def add(self, observation: Observation, now: float) -> None:
        """Judge the samples of one or more calls."""
        reference, inputs, outputs, embeddings = self.reference, *observation[:3]
        first, last = observation.first, observation.first + observation.samples - 1
        if reference is not None and not reference.layout.fits(inputs, outputs, embeddings):
            self.unfit += len(inputs)
            return
        self.judged += len(inputs)
        self._add_confidence(outputs, first, last, now)
        if reference is not None:
            rows = reference.layout.rows(inputs, outputs, embeddings)
            done = 0
            while done < len(rows):
                part = rows[done : done + self.windows.room()]
                begin, done = done, done + len(part)
                span = last - first + 1
                self.windows.add(part, first + span * begin // len(rows), first + span * done // len(rows) - 1, now)

    def add_labelled(self, wrong: Sequence[bool], now: float) -> None:
        """Whether the model was wrong, in the order in which the true labels came."""
        first, self.labels = self.labels + 1, self.labels + len(wrong)
        self._mistakes.add([float(bool(one)) for one in wrong], first, self.labels, now)

    def _add_confidence(self, outputs: np.ndarray, first: int, last: int, now: float) -> None:
        if outputs.ndim != 2 or outputs.shape[1] < 2 or outputs.dtype.kind != "f":
            return
        probabilities = self.reference is not None and self.reference.layout.probabilities
        confidence = reading.read(outputs, probabilities).confidence
        for stream, (mean, deviation) in zip(self._streams, self._units, strict=True):
            stream.add(((confidence - mean) / deviation).tolist(), first, last, now)

    def state(self) -> dict[str, Any]:
        return {
            "judged": self.judged,
            "unfit": self.unfit,
            "labels": self.labels,
            "windows": None if self.windows is None else self.windows.state(),
            "streams": [stream.state() for stream in self._streams],
            "mistakes": self._mistakes.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Raises KeyError, TypeError, ValueError or AttributeError for what :meth:`state` did not make; then this
        object is of no more use."""
        self.judged, self.unfit, self.labels = (int(state[name]) for name in ("judged", "unfit", "labels"))
        if self.windows is not None:
            self.windows.restore(state["windows"])
        for stream, kept in zip(self._streams, state["streams"], strict=True):
            stream.restore(kept)
        self._mistakes.restore(state["mistakes"])
