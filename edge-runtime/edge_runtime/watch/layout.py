"""Where in a row of numbers each thing about a sample stands, and what distances are taken between mean rows.

A row is [one-hot class | one-hot bin of confidence | one-hot bin of feature 1 | ... | Fourier features | 1], the last
being 0 where a sample came without the embedding that the reference has: then no distance is taken of it.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from edge_runtime.watch import binning, embedding, features
from edge_runtime.watch import outputs as reading
from edge_runtime.watch.psi import psi

MOST_VALUES = 2**26
"""Numbers in one input, at most."""
MOST_COLUMNS = 20_000
"""Numbers in a row, at most: what a bundle may make a device keep."""


class Layout:
    """Built from a summary's ``outputs``, ``features`` and ``embedding``."""

    def __init__(self, summary: dict[str, Any]) -> None:
        out, features_, self._embedding = summary["outputs"], summary["features"], summary["embedding"]
        self.classes = int(out["classes"])
        self.probabilities = bool(out["probabilities"])
        self.shape = tuple(int(size) for size in features_["shape"])
        self.dtype = np.dtype(str(features_["dtype"]))
        self.names = [str(name) for name in features_["names"]]
        self._edges = [np.asarray(edges, np.float64) for edges in features_["edges"]]
        self._mean = np.asarray(features_["mean"], np.float64)
        self._deviation = np.maximum(np.asarray(features_["deviation"], np.float64), 1e-6)
        if not all(edges.ndim == 1 and (np.diff(edges) > 0).all() for edges in self._edges):
            raise ValueError("edges of bins that do not rise")
        if not len(self.names) == len(self._edges) == len(self._mean) == len(self._deviation):
            raise ValueError("features of different lengths")
        self.source = "embedding" if self._embedding["of"] == "embedding" else "outputs"
        widths: list[tuple[str, int]] = []
        if self.classes:
            self._counted = np.asarray(out["counted"], np.int64)
            self._column = np.full(self.classes, len(self._counted))  # the last column: every other class
            self._column[self._counted] = np.arange(len(self._counted))
            self._confidence = np.asarray(out["confidence"]["edges"], np.float64)
            others = int(len(self._counted) < self.classes)
            widths += [("classes", len(self._counted) + others), ("confidence", len(self._confidence) + 1)]
        widths += [(name, len(edges) + 1) for name, edges in zip(self.names, self._edges, strict=True)]
        widths.append((self.source, 2 * np.asarray(self._embedding["frequencies"]).shape[1]))
        self.columns = sum(width for _, width in widths) + 1
        if self.columns > MOST_COLUMNS:
            raise ValueError(f"{self.columns} columns, more than {MOST_COLUMNS}")
        starts = itertools.accumulate((width for _, width in widths), initial=0)
        self._slices = [slice(first, last) for first, last in itertools.pairwise(starts)]
        self._feature_slices = self._slices[2 if self.classes else 0 : -1]
        self.detectors = (["classes", "confidence"] if self.classes else []) + (["inputs"] if self.names else [])
        self.detectors.append(self.source)

    def fits(self, inputs: np.ndarray, outputs: np.ndarray, embeddings: np.ndarray | None = None) -> bool:
        """Whether these can be compared with the reference at all. Pictures and texts may have other sizes."""
        vectors = outputs if self.source == "outputs" else embeddings
        return (
            inputs.dtype == self.dtype
            and inputs.ndim == len(self.shape) + 1
            and len(inputs) == len(outputs) == len(inputs if vectors is None else vectors)
            and (not self.classes or outputs.shape[1:] == (self.classes,))
            and (vectors is None or math.prod(vectors.shape[1:]) == len(self._embedding["mean"]))
            and features.names(inputs.shape, inputs.dtype) == self.names
        )

    def trial(self) -> None:
        """Run one blank sample through everything: what does not fit together raises now, and not while serving."""
        if math.prod(self.shape) > MOST_VALUES or min(self.shape, default=1) < 0:
            raise ValueError(f"inputs of shape {self.shape}")
        inputs = np.zeros((1, *self.shape), self.dtype)
        width = len(self._embedding["mean"])
        outputs = np.zeros((1, self.classes or width))
        embeddings = None if self.source == "outputs" else np.zeros((1, width))
        if not self.fits(inputs, outputs, embeddings):
            raise ValueError("the parts of different sizes")
        row = self.check(self.rows(inputs, outputs, embeddings)[0])
        far = self.distances(inputs, outputs, embeddings)
        if not np.isfinite([*far.ravel(), *(value for value, _ in self.statistics(row, 1, row, 1).values())]).all():
            raise ValueError("distances that are not finite")

    def check(self, row: np.ndarray) -> np.ndarray:
        """The row, if it is one of this layout: finite, and with no bin below zero. Raises ValueError."""
        if row.shape != (self.columns,) or not np.isfinite(row).all() or (row[: self._slices[-1].start] < 0).any():
            raise ValueError(f"a row of shape {row.shape} where ({self.columns},) finite numbers belong")
        return row

    def rows(
        self,
        inputs: np.ndarray,
        outputs: np.ndarray,
        embeddings: np.ndarray | None = None,
        *,
        described: np.ndarray | None = None,
    ) -> np.ndarray:
        """(N, columns) float64. ``described``: the input features where they have been computed already."""
        count = len(inputs)
        rows = np.zeros((count, self.columns))
        at = np.arange(count)
        if self.classes:
            read = reading.read(outputs, self.probabilities)
            rows[at, self._slices[0].start + self._column[read.index]] = 1
            rows[at, self._slices[1].start + binning.place(read.confidence, self._confidence)] = 1
        if self.names:
            values = features.describe(inputs) if described is None else described
            for column, where in enumerate(self._feature_slices):
                rows[at, where.start + binning.place(values[:, column], self._edges[column])] = 1
        points = self._points(outputs, embeddings)
        if points is not None:
            rows[:, self._slices[-1]] = embedding.fourier(points, self._embedding)
            rows[:, -1] = 1
        return rows

    def distances(self, inputs: np.ndarray, outputs: np.ndarray, embeddings: np.ndarray | None = None) -> np.ndarray:
        """(N, 2): how far each sample's features, and its outputs or embedding, lie from the reference's middle."""
        far = np.zeros((len(inputs), 2))
        if self.names:
            standard = (features.describe(inputs) - self._mean) / self._deviation
            far[:, 0] = embedding.distance(np.clip(standard, -1e6, 1e6))
        points = self._points(outputs, embeddings)
        if points is not None:
            far[:, 1] = embedding.distance(points)
        return far

    def statistics(
        self, window: np.ndarray, count: int, reference: np.ndarray, samples: int
    ) -> dict[str, tuple[float, str]]:
        """By detector: the distance between mean rows (``columns``,) and the name of the part that is farthest."""
        found: dict[str, tuple[float, str]] = {}
        if self.classes:
            for name, where in zip(("classes", "confidence"), self._slices, strict=False):
                found[name] = float(psi(window[where] * count, reference[where] * samples)), name
        if self.names:
            each = [float(psi(window[w] * count, reference[w] * samples)) for w in self._feature_slices]
            worst = int(np.argmax(each))
            found["inputs"] = each[worst], self.names[worst]
        if window[-1] > 1 - 0.5 / count:
            where = self._slices[-1]
            found[self.source] = float(np.linalg.norm(window[where] - reference[where])), self.source
        return found

    def many_statistics(
        self, windows: np.ndarray, count: int, references: np.ndarray, samples: int
    ) -> dict[str, np.ndarray]:
        """The distances of :meth:`statistics` for many pairs of mean rows (pairs, columns)."""
        found = {}
        if self.classes:
            for name, where in zip(("classes", "confidence"), self._slices, strict=False):
                found[name] = psi(windows[:, where] * count, references[:, where] * samples)
        if self.names:
            each = [psi(windows[:, w] * count, references[:, w] * samples) for w in self._feature_slices]
            found["inputs"] = np.max(each, axis=0)
        where = self._slices[-1]
        found[self.source] = np.linalg.norm(windows[:, where] - references[:, where], axis=1)
        return found

    def _points(self, outputs: np.ndarray, embeddings: np.ndarray | None) -> np.ndarray | None:
        vectors = outputs if self.source == "outputs" else embeddings
        if vectors is None:
            return None
        return embedding.scores(vectors.reshape(len(vectors), -1), self._embedding)
