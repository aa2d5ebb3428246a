"""Distance between two clouds of vectors: maximum mean discrepancy over random Fourier features.

The kernel two-sample statistic MMD (Gretton et al., JMLR 2012) sees any difference between two distributions, not only
of their means. With random Fourier features (Rahimi and Recht 2007) it is the distance between two mean vectors, so a
window is a running sum of 128 numbers, however many samples it has, and the reference is one such mean.

Vectors are first reduced to at most 16 principal components of the reference, each scaled to unit spread, and the
length of what those leave over: a change often lies where the reference had nothing. The kernel's width is the median
distance in the reference. docs/monitoring.md says what was compared.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_runtime.watch.features import finite

COMPONENTS = 16
FREQUENCIES = 64
_FLOOR = 1e-6
_REST_FLOOR = 0.01
"""Least unit for what components leave over, relative to the vectors' spread: less is rounding."""


def fit(vectors: np.ndarray, seed: int) -> dict[str, Any]:
    """What :func:`scores` and :func:`fourier` need, for vectors (N, d) of the reference, as lists for JSON."""
    vectors = finite(vectors).astype(np.float64)
    mean = vectors.mean(axis=0)
    centred = vectors - mean
    _, values, directions = np.linalg.svd(centred, full_matrices=False)
    keep = min(COMPONENTS, int((values > _FLOOR * max(values[0], _FLOOR)).sum()), len(vectors) - 1)
    directions = directions[:keep]
    # A singular vector's sign is the library's whim.
    largest = np.abs(directions).argmax(axis=1)
    directions = directions * np.sign(directions[np.arange(keep), largest])[:, None]
    part = centred @ directions.T
    rest = _rest(centred, part)
    model = {
        "mean": _short(mean),
        "directions": _short(directions),
        "spread": _short(np.maximum(part.std(axis=0), _FLOOR)),
        "rest": _short(np.array([rest.mean(), max(rest.std(), _REST_FLOOR * centred.std(), _FLOOR)])),
    }
    # numpy keeps RandomState's stream unchanged for ever, so the same reference gives the same bytes.
    random = np.random.RandomState(seed)
    points = scores(vectors, model)
    first, second = random.randint(0, len(points), (2, 2000))
    width = float(np.median(np.linalg.norm(points[first] - points[second], axis=1)[first != second]))
    frequencies = random.standard_normal((points.shape[1], FREQUENCIES)) / max(width, _FLOOR)
    return model | {"frequencies": _short(frequencies)}


def scores(vectors: np.ndarray, model: dict[str, Any]) -> np.ndarray:
    """(N, components + 1): vectors (N, d) in the reference's units, the last column what the components leave over."""
    centred = finite(vectors).astype(np.float64) - np.asarray(model["mean"])
    part = centred @ np.asarray(model["directions"]).reshape(-1, centred.shape[1]).T
    rest = (_rest(centred, part) - model["rest"][0]) / model["rest"][1]
    return np.clip(np.column_stack([part / np.asarray(model["spread"]), rest]), -1e6, 1e6)


def fourier(points: np.ndarray, model: dict[str, Any]) -> np.ndarray:
    """(N, 2 frequencies) of scores (N, k); the distance between two means of it is the MMD."""
    angles = points @ np.asarray(model["frequencies"])
    return np.hstack([np.cos(angles), np.sin(angles)]) / np.sqrt(angles.shape[1])


def distance(points: np.ndarray) -> np.ndarray:
    """(N,) root mean square of the scores: 1 is usual, far above it is far from the reference (Mahalanobis)."""
    return np.sqrt(np.square(points).mean(axis=1))


def _rest(centred: np.ndarray, part: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(np.square(centred).sum(axis=1) - np.square(part).sum(axis=1), 0))


def _short(array: np.ndarray) -> list[Any]:
    """As nested lists of numbers with seven digits: enough for float32, and short in a file."""
    flat = [float(f"{value:.7g}") for value in array.ravel()]
    return np.array(flat).reshape(array.shape).tolist()
