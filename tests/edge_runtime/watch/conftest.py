"""A reference, and streams that look like it or do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edge_runtime.watch.reference import summarize

CLASSES = 5


def draw(count: int, seed: int, *, brightness: float = 0, noise: float = 0, favoured: float = 0):
    """Pictures (count, 1, 12, 12) uint8 and logits (count, 5): ten blobs of light, and a model that sees them.

    ``brightness`` is added, ``noise`` too at random; ``favoured``: added to the logit of class 0."""
    random = np.random.default_rng(seed)
    kinds = random.integers(0, CLASSES, count)
    rows, columns = np.mgrid[:12, :12]
    centres = 2 + 2 * kinds[:, None, None] + random.normal(0, 0.5, (count, 1, 1))
    pixels = 180 * np.exp(-((rows - centres) ** 2 + (columns - 6) ** 2) / 8) + random.normal(20, 5, (count, 12, 12))
    pixels += brightness + random.normal(0, 1, pixels.shape) * noise
    logits = random.normal(0, 1, (count, CLASSES))
    logits[np.arange(count), kinds] += 4
    logits[:, 0] += favoured
    return np.clip(pixels, 0, 255).astype(np.uint8)[:, None], logits.astype(np.float32)


@pytest.fixture(scope="session")
def stream() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    return draw


@pytest.fixture(scope="session")
def reference() -> dict[str, Any]:
    return summarize(*draw(2000, 0))
