"""How far apart a window and a reference drawn from the same samples come to lie, by bootstrap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_runtime.watch.layout import Layout

PAIRS = 2000
"""Windows (and references) drawn for each size."""
_BLOCK = 250


def calibrate(
    rows: np.ndarray, layout: Layout, sizes: Sequence[int], false_alarms: float, seed: int
) -> dict[str, dict[str, float]]:
    """By size of window and detector: the distance exceeded with probability ``false_alarms`` when nothing changed.

    ``rows`` (N, columns) of the reference. A draw with replacement is a count for every sample, so a mean of drawn rows
    is one matrix product.
    """
    random = np.random.RandomState(seed)
    rows = rows.astype(np.float32)
    found: dict[str, dict[str, float]] = {}
    for size in sizes:
        blocks = []
        for start in range(0, PAIRS, _BLOCK):
            pairs = min(_BLOCK, PAIRS - start)
            windows, references = _means(rows, size, pairs, random), _means(rows, len(rows), pairs, random)
            blocks.append(layout.many_statistics(windows, size, references, len(rows)))
        found[str(size)] = {
            name: float(f"{np.quantile(np.concatenate([block[name] for block in blocks]), 1 - false_alarms):.6g}")
            for name in layout.detectors
        }
    return found


def _means(rows: np.ndarray, size: int, pairs: int, random: np.random.RandomState) -> np.ndarray:
    """(pairs, columns): means of ``size`` rows drawn with replacement."""
    total = len(rows)
    drawn = random.randint(0, total, (pairs, size)) + np.arange(pairs)[:, None] * total
    counts = np.bincount(drawn.ravel(), minlength=pairs * total).reshape(pairs, total).astype(np.float32)
    return (counts @ rows).astype(np.float64) / size
