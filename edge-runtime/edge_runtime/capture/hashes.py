"""When two inputs are the same: exactly, or as pictures that differ by nothing one would see.

The near hash is the difference hash of Neal Krawetz (hackerfactor.com, 2013): a picture is averaged to a small grid,
and each bit says whether a cell is brighter than its neighbour, here both across and down: 128 bits. Noise,
compression and small changes of brightness turn few of them over.
"""

from __future__ import annotations

import hashlib

import numpy as np

CELLS = 8
BYTES = 2 * CELLS * CELLS // 8
_ONES = np.array([bin(value).count("1") for value in range(256)], np.uint8)


def exact(sample: np.ndarray) -> str:
    """SHA-256 of dtype, shape and content, 64 hex digits."""
    digest = hashlib.sha256(f"{sample.dtype.str}{sample.shape}".encode())
    digest.update(np.ascontiguousarray(sample).data)
    return digest.hexdigest()


def near(sample: np.ndarray) -> bytes | None:
    """The difference hash, 16 bytes, of a picture (C, H, W) with one or three channels; None for anything else."""
    if sample.ndim != 3 or sample.shape[0] not in (1, 3) or min(sample.shape[1:]) <= CELLS:
        return None
    grey = sample.mean(axis=0, dtype=np.float64)
    if not np.isfinite(grey).all():
        return None
    across, down = _grid(grey, CELLS, CELLS + 1), _grid(grey, CELLS + 1, CELLS)
    bits = np.concatenate([(across[:, 1:] > across[:, :-1]).ravel(), (down[1:] > down[:-1]).ravel()])
    return np.packbits(bits).tobytes()


def nearest(code: bytes, known: np.ndarray) -> tuple[int, int]:
    """Index and number of different bits of the nearest among ``known`` (n, 16) uint8, n at least 1."""
    bits = _ONES[known ^ np.frombuffer(code, np.uint8)].sum(axis=1, dtype=np.int64)
    index = int(bits.argmin())
    return index, int(bits[index])


def _grid(grey: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """(rows, columns): means of nearly equal cells of (H, W)."""
    y = np.arange(rows) * grey.shape[0] // rows
    x = np.arange(columns) * grey.shape[1] // columns
    sums = np.add.reduceat(np.add.reduceat(grey, y, axis=0), x, axis=1)
    sizes = np.outer(np.diff([*y, grey.shape[0]]), np.diff([*x, grey.shape[1]]))
    return sums / sizes
