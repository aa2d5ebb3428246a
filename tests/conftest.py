"""Shared by all tests: one torch thread (two on a busy machine are many times slower), no hub, and tiny real things."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pytest
import torch

from compress.data.dataset import Dataset, Split

torch.set_num_threads(1)
SLOW_SECONDS = 3600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(SLOW_SECONDS))


def pictures(count: int, seed: int, size: int = 12) -> Split:
    """Noise over faint stripes, lying or standing, a chequered pattern, or nothing: learnable in a second."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, count)
    rows, columns = np.indices((size, size)) % 2
    patterns = np.stack([rows, columns, rows ^ columns, np.zeros((size, size), int)])
    inputs = rng.integers(0, 200, (count, 1, size, size)) + 36 * patterns[labels][:, None]
    return Split(inputs.astype(np.uint8), labels.astype(np.int64))


@pytest.fixture(scope="session")
def small_data() -> Dataset:
    """512 / 64 / 128 / 256 pictures of 1x12x12 in four classes."""
    splits = [pictures(count, seed) for seed, count in enumerate((512, 64, 128, 256))]
    return Dataset("patterns", *splits, ("lying", "standing", "chequered", "plain"), "CC0-1.0")
