"""Bins whose edges are quantiles of the reference, with values that occur often (black, zero) in bins of their own."""

from __future__ import annotations

import numpy as np

BINS = 10
ATOM = 1e-5
"""Half the width of the bin around a frequent value, relative to the value: machines round differently."""


def edges(values: np.ndarray, bins: int = BINS) -> list[float]:
    """Rising inner edges, at most 2 (bins - 1), for values (N,)."""
    cuts = np.quantile(values.astype(np.float64), np.arange(1, bins) / bins)
    chosen: set[float] = set()
    for cut in np.unique(cuts):
        width = ATOM * max(abs(cut), 1.0)
        if (np.abs(values - cut) <= width).mean() > 1 / (2 * bins):
            chosen |= {float(f"{cut - width:.8g}"), float(f"{cut + width:.8g}")}
        else:
            chosen.add(float(f"{cut:.8g}"))
    return sorted(chosen)


def place(values: np.ndarray, inner: list[float] | np.ndarray) -> np.ndarray:
    """The bin (N,) of every value: 0 for those up to the first edge, len(inner) for those beyond the last."""
    return np.searchsorted(inner, values, side="left")
