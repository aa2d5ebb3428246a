"""How often each drift detector sees a change, and how often it sees one that is not there, on Fashion-MNIST.

    python -m compress.bench.own.drift runs/quickstart/models/this-machine/onnxruntime/distill.onnx

Half of the test split makes the reference, as bundling does; windows are drawn from the other half, unchanged and
changed in ways that happen to cameras and crowds. Beside the detectors that edge-runtime has, the table shows those it
was chosen over: the distance of the mean outputs (Mahalanobis; Hotelling's T-squared), the largest PSI among the class
probabilities (after "black box shift detection" of Lipton et al. 2018, best in Rabanser et al. 2019), and the energy
distance. Each has its threshold by the same bootstrap, so the columns compare at the same rate of false alarms.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

import edge_runtime
from compress.data import fashion_mnist
from edge_runtime.watch import binning, embedding
from edge_runtime.watch import outputs as reading
from edge_runtime.watch.psi import psi
from edge_runtime.watch.reference import FALSE_ALARMS, Reference, summarize

SIZES = (100, 200, 500)
WINDOWS = 200
DRAWS = 2000
ALTERNATIVES = ("mean outputs", "probabilities", "energy")


def main(model: Path) -> None:
    test = fashion_mnist.load().test
    random = np.random.default_rng(0)
    order = random.permutation(len(test.inputs))
    known, rest = test.inputs[order[:5000]], test.inputs[order[5000:]]
    labels = test.labels[order[5000:]]
    with edge_runtime.open_session(model) as session:
        predict = session.predict
        reference = Reference(summarize(known, predict(known)))
        others = _Alternatives(reference, predict(known))
        names = [*reference.layout.detectors, *ALTERNATIVES]
        print(f"| change | n | {' | '.join(names)} |\n|---|---:|{'---:|' * len(names)}")
        for title, change in CHANGES.items():
            inputs, weights = change(rest, labels, random)
            outputs = predict(inputs)
            rows, points = reference.layout.rows(inputs, outputs), others.points(outputs)
            for size in SIZES:
                seen = dict.fromkeys(names, 0)
                for _ in range(WINDOWS):
                    # without replacement: a window never holds a picture twice, as a stream does not
                    chosen = random.choice(len(inputs), size, replace=False, p=weights)
                    for name, (value, _) in reference.statistics(rows[chosen].sum(axis=0), size).items():
                        seen[name] += value > reference.threshold(name, size)
                    for name, far in others.beyond(points[chosen], size).items():
                        seen[name] += far
                print(f"| {title} | {size} | {' | '.join(f'{100 * seen[name] / WINDOWS:.1f}' for name in names)} |")


class _Alternatives:
    """What was not chosen; thresholds by bootstrap of the reference, as in edge_runtime.watch.calibrate."""

    def __init__(self, reference: Reference, outputs: np.ndarray) -> None:
        self._model = reference.summary["embedding"]
        self._random = np.random.default_rng(1)
        shares = reading.read(outputs).probabilities
        self._edges = [binning.edges(column) for column in shares.T]
        self._known = self.points(outputs)
        self._sample = self._known[self._random.choice(len(outputs), 500, replace=False)]
        self._within = _mean_distance(self._scores(self._sample), self._scores(self._sample))
        self._thresholds: dict[int, dict[str, float]] = {}

    def points(self, outputs: np.ndarray) -> np.ndarray:
        """(N, scores + bins): everything that the three distances are taken of."""
        shares = reading.read(outputs).probabilities
        scores = embedding.scores(outputs, self._model)
        self._width = scores.shape[1]
        bins = [
            np.eye(len(edges) + 1)[binning.place(column, edges)]
            for column, edges in zip(shares.T, self._edges, strict=True)
        ]
        self._slices = np.cumsum([0, *(b.shape[1] for b in bins)])
        return np.hstack([scores, *bins])

    def beyond(self, window: np.ndarray, size: int) -> dict[str, bool]:
        if size not in self._thresholds:
            draws = [self._distances(*self._resample(size)) for _ in range(DRAWS // 4)]
            self._thresholds[size] = {
                name: float(np.quantile([draw[name] for draw in draws], 1 - FALSE_ALARMS)) for name in ALTERNATIVES
            }
        found = self._distances(window, self._known)
        return {name: found[name] > self._thresholds[size][name] for name in ALTERNATIVES}

    def _resample(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        count = len(self._known)
        return self._known[self._random.integers(0, count, size)], self._known[self._random.integers(0, count, count)]

    def _scores(self, points: np.ndarray) -> np.ndarray:
        return points[:, : self._width]

    def _distances(self, window: np.ndarray, known: np.ndarray) -> dict[str, float]:
        mean, middle = window.mean(axis=0), known.mean(axis=0)
        counts, reference = mean[self._width :] * len(window), middle[self._width :] * len(known)
        ends = zip(self._slices[:-1], self._slices[1:], strict=True)
        scores = self._scores(window)
        between = _mean_distance(scores, self._scores(self._sample))
        return {
            "mean outputs": float(np.linalg.norm((mean - middle)[: self._width])),
            "probabilities": max(float(psi(counts[a:b], reference[a:b])) for a, b in ends),
            "energy": 2 * between - _mean_distance(scores, scores) - self._within,
        }


def _mean_distance(a: np.ndarray, b: np.ndarray) -> float:
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return float(np.sqrt(np.maximum(squares, 0)).mean())


Change = Callable[[np.ndarray, np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray | None]]


def _pixels(change: Callable[[np.ndarray, np.random.Generator], np.ndarray], share: float = 1.0) -> Change:
    """Of a share of the pictures."""

    def apply(inputs: np.ndarray, labels: np.ndarray, random: np.random.Generator):
        changed = np.clip(change(inputs.astype(np.float32), random), 0, 255).astype(np.uint8)
        chosen = random.random(len(inputs)) < share
        return np.where(chosen[:, None, None, None], changed, inputs), None

    return apply


def _more_of_class(index: int, factor: float) -> Change:
    def apply(inputs: np.ndarray, labels: np.ndarray, random: np.random.Generator):
        weights = np.where(labels == index, factor, 1.0)
        return inputs, weights / weights.sum()

    return apply


CHANGES: dict[str, Change] = {
    "none": _pixels(lambda x, random: x),
    "brighter by 2 %": _pixels(lambda x, random: x + 5),
    "contrast 90 %": _pixels(lambda x, random: 0.9 * x),
    "noise, sigma 5": _pixels(lambda x, random: x + random.normal(0, 5, x.shape)),
    "blurred": _pixels(lambda x, random: (x + np.roll(x, 1, 2) + np.roll(x, 1, 3) + np.roll(x, (1, 1), (2, 3))) / 4),
    "shifted 2 pixels": _pixels(lambda x, random: np.roll(x, 2, 3)),
    "turned by 90 degrees": _pixels(lambda x, random: np.rot90(x, axes=(2, 3))),
    "a tenth turned": _pixels(lambda x, random: np.rot90(x, axes=(2, 3)), share=0.1),
    "mirrored": _pixels(lambda x, random: x[..., ::-1]),
    "class 0 twice as often": _more_of_class(0, 2),
    "class 0 four times as often": _more_of_class(0, 4),
}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
