"""What inputs and outputs looked like when the model was bundled, and how far a window may stray from that by chance.

``summarize`` runs where the bundle is made, over samples that the model was not trained on; its result is JSON and
travels in the bundle. On the device, :class:`Reference` reads it. Everything compared is a mean over samples of one row
of numbers (``rows``): which class, which bin of confidence, which bin of every input feature, and the Fourier features
of the outputs or embedding. A window is therefore one sum, of fixed length, however many samples it holds.

Four distances are taken of a window, each with thresholds calibrated by bootstrap for several sizes of window:

- ``classes``, ``confidence``: PSI of the predicted classes, and of the confidence;
- ``inputs``: the largest PSI among the input features, so that many features raise no more false alarms than one;
- ``outputs`` (or ``embedding``): the maximum mean discrepancy.

The bootstrap draws both a window and a reference anew from the reference, with replacement: that it is a sample itself
and may err counts too.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from edge_runtime.errors import DriftReferenceError
from edge_runtime.watch import binning, embedding, features, page_hinkley
from edge_runtime.watch import outputs as reading
from edge_runtime.watch.calibrate import calibrate
from edge_runtime.watch.layout import Layout

SCHEMA = 1
WINDOWS = (100, 200, 500, 1000)
"""Sizes of window, in samples, that thresholds are calibrated for."""
FALSE_ALARMS = 0.005
"""How often a window of unchanged inputs exceeds a detector's threshold. An alarm needs two windows in a row."""
LEAST = 200
"""Samples a reference needs; better 2,000, since its own error is part of every threshold."""
MOST = 5000
"""Samples that are used, drawn at random from more."""
CLASSES = 64
"""Classes counted one by one, the most frequent; the others together."""
_PAGE_HINKLEY = ("delta", "threshold", "alpha")
LEVELS = (0.5, 0.75, 0.9, 0.95, 0.99, 0.999)
"""Quantiles of uncertainty and distance that are kept, for capturing by."""


def summarize(
    inputs: np.ndarray, outputs: np.ndarray, *, embeddings: np.ndarray | None = None, seed: int = 0
) -> dict[str, Any]:
    """Summarize samples the model has not seen in training: ``inputs`` (N, ...), ``outputs`` (N, C) logits or
    probabilities (any other shape is taken as a vector that says nothing of classes), ``embeddings`` (N, d).

    Returns what ``json.dumps`` takes; about 30 kB, and some seconds for 5,000 samples. The same arguments give the same
    result. Raises DriftReferenceError for too few samples, or arrays of different lengths.
    """
    inputs, outputs = np.asarray(inputs), np.asarray(outputs)
    count = len(inputs)
    if not count == len(outputs) == len(inputs if embeddings is None else embeddings) or count < LEAST:
        raise DriftReferenceError(
            f"a drift reference of {count} inputs and {len(outputs)} outputs; give one output (and embedding) for "
            f"every input, and at least {LEAST}, better 2,000 samples that the model was not trained on"
        )
    if count > MOST:
        chosen = np.sort(np.random.RandomState(seed).permutation(count)[:MOST])
        inputs, outputs = inputs[chosen], outputs[chosen]
        embeddings = None if embeddings is None else embeddings[chosen]
    summary: dict[str, Any] = {"schema": SCHEMA, "samples": len(inputs), "population": count, "seed": seed}
    summary["outputs"] = _describe_outputs(outputs)
    described = features.describe(inputs)
    summary["features"] = {
        "shape": list(inputs.shape[1:]),
        "dtype": inputs.dtype.name,
        "names": features.names(inputs.shape, inputs.dtype),
        "edges": [binning.edges(column) for column in described.T],
        "mean": _digits(described.mean(axis=0, dtype=np.float64)),
        "deviation": _digits(described.std(axis=0, dtype=np.float64)),
    }
    vectors = _flat(outputs) if embeddings is None else _flat(np.asarray(embeddings))
    summary["embedding"] = {"of": "outputs" if embeddings is None else "embedding", **embedding.fit(vectors, seed)}
    layout = Layout(summary)
    rows = layout.rows(inputs, outputs, embeddings)
    summary["mean"] = _digits(rows.mean(axis=0))
    summary["distance"] = {"scale": [1.0, 1.0], "quantiles": {}}
    parts = layout.distances(inputs, outputs, embeddings)
    summary["distance"]["scale"] = _digits(np.maximum(np.quantile(parts, 0.99, axis=0), 1e-6))
    summary["distance"]["quantiles"] = _quantiles((parts / summary["distance"]["scale"]).max(axis=1))
    summary["thresholds"] = calibrate(rows, layout, WINDOWS, FALSE_ALARMS, seed)
    summary["false_alarms"] = FALSE_ALARMS
    if summary["outputs"]["classes"]:
        read = reading.read(outputs, summary["outputs"]["probabilities"])
        standard = (read.confidence - read.confidence.mean()) / max(read.confidence.std(), 1e-6)
        summary["page_hinkley"] = page_hinkley.calibrate(standard, seed)
    return summary


class Reference:
    """A reference read from a bundle. ``digest`` (16 hex digits) names it; ``summary`` is the JSON it came from."""

    def __init__(self, summary: dict[str, Any]) -> None:
        """Raises DriftReferenceError when ``summary`` is not one that ``summarize`` of a known schema made."""
        try:
            if summary["schema"] != SCHEMA:
                raise DriftReferenceError(
                    f"the drift reference has schema {summary['schema']!r}, and this version reads {SCHEMA}; "
                    "update edge-runtime, or bundle the model again"
                )
            self.summary = summary
            self.samples = max(int(summary["samples"]), 1)
            self.layout = Layout(summary)
            self.mean = self.layout.check(np.asarray(summary["mean"], np.float64))
            self._scale = np.maximum(np.asarray(summary["distance"]["scale"], np.float64).reshape(2), 1e-6)
            quantiles = {"distance": summary["distance"]["quantiles"]}
            if self.layout.classes:
                quantiles |= {name: summary["outputs"][name] for name in ("entropy", "margin")}
            self._quantiles = {of: _numbers(known) for of, known in quantiles.items()}
            self.windows = {int(size): _numbers(found) for size, found in summary["thresholds"].items()}
            self.layout.trial()
            self.confidence: tuple[float, float] | None = None
            self.page_hinkley: dict[str, float] | None = None
            if self.layout.classes:
                known = summary["outputs"]["confidence"]
                self.confidence = float(known["mean"]), max(float(known["deviation"]), 1e-6)
                self.page_hinkley = {name: float(summary["page_hinkley"][name]) for name in _PAGE_HINKLEY}
            canonical = json.dumps(summary, sort_keys=True, allow_nan=False).encode()
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise DriftReferenceError(
                f"the drift reference is not what edge-runtime writes ({type(error).__name__}: {error}); "
                "bundle the model again"
            ) from error
        self.digest = hashlib.sha256(canonical).hexdigest()[:16]

    def statistics(self, total: np.ndarray, count: int) -> dict[str, tuple[float, str]]:
        """Of a window with rows summing to ``total``: by detector its distance, and which part of it is farthest."""
        return self.layout.statistics(total / count, count, self.mean, self.samples)

    def distances(self, inputs: np.ndarray, outputs: np.ndarray, embeddings: np.ndarray | None = None) -> np.ndarray:
        """(N,) how far each sample lies from the reference's middle; 1 % of the reference are about 1 or farther."""
        return (self.layout.distances(inputs, outputs, embeddings) / self._scale).max(axis=1)

    def quantile(self, of: str, level: float) -> float | None:
        """Of "entropy", "margin" (negative) or "distance" in the reference, for a level of ``LEVELS``."""
        return self._quantiles.get(of, {}).get(f"{level:g}")

    def threshold(self, detector: str, count: int) -> float | None:
        """The distance that a window of ``count`` samples exceeds once in 200 by chance; None where unknown.

        A window between two calibrated sizes is held to the smaller one's threshold, which is the higher."""
        sizes = [size for size in self.windows if size <= count]
        return self.windows[max(sizes)].get(detector) if sizes else None


def _describe_outputs(outputs: np.ndarray) -> dict[str, Any]:
    if outputs.ndim != 2 or outputs.shape[1] < 2 or outputs.dtype.kind != "f":
        return {"classes": 0, "probabilities": False, "counted": [], "shares": []}
    probabilities = reading.are_probabilities(outputs)
    read = reading.read(outputs, probabilities)
    shares = np.bincount(read.index, minlength=outputs.shape[1]) / len(outputs)
    counted = np.sort(np.argsort(-shares, kind="stable")[:CLASSES])
    return {
        "classes": outputs.shape[1],
        "probabilities": probabilities,
        "counted": counted.tolist(),
        "shares": _digits(shares[counted]),
        "confidence": {
            "edges": binning.edges(read.confidence),
            "mean": float(f"{read.confidence.mean():.7g}"),
            "deviation": float(f"{read.confidence.std():.7g}"),
        },
        "entropy": _quantiles(read.entropy),
        "margin": _quantiles(-read.margin),
    }


def _numbers(known: dict[str, Any]) -> dict[str, float]:
    """The same as finite floats; raises ValueError, TypeError or AttributeError."""
    found = {str(name): float(value) for name, value in known.items()}
    if not np.isfinite(list(found.values())).all():
        raise ValueError("a number that is not finite")
    return found


def _quantiles(values: np.ndarray) -> dict[str, float]:
    return {f"{level:g}": float(f"{np.quantile(values, level):.7g}") for level in LEVELS}


def _flat(array: np.ndarray) -> np.ndarray:
    return array.reshape(len(array), -1)


def _digits(values: np.ndarray) -> list[float]:
    return [float(f"{value:.7g}") for value in values]
