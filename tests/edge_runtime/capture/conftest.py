"""A reference, and inputs to keep."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_runtime.watch.reference import summarize

HOUR = 3600.0


def draw(count: int, seed: int):
    """Pictures (count, 1, 16, 16) uint8, each different to the eye, and logits (count, 4) of which some are unsure."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (count, 1, 8, 8))
    pixels = np.kron(coarse, np.ones((1, 1, 2, 2))) + random.normal(0, 1, (count, 1, 16, 16))
    return np.clip(pixels, 0, 255).astype(np.uint8), (random.normal(0, 2, (count, 4))).astype(np.float32)


@pytest.fixture(scope="session")
def inputs():
    return draw


@pytest.fixture(scope="session")
def reference() -> dict[str, Any]:
    return summarize(*draw(1000, 0))
