from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.capture import hashes


def pictures(count, seed=0):
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (count, 3, 9, 9))
    return np.clip(np.kron(coarse, np.ones((1, 1, 6, 6))), 0, 255).astype(np.uint8)


def bits(one, other):
    return hashes.nearest(hashes.near(one), np.frombuffer(hashes.near(other), np.uint8)[None])[1]


def test_equal_arrays_have_equal_hashes_and_dtype_and_shape_count():
    a = np.arange(12, dtype=np.uint8)
    assert hashes.exact(a) == hashes.exact(a[::-1][::-1])
    assert len({hashes.exact(x) for x in (a, a.reshape(3, 4), a.astype(np.int8), a[::-1])}) == 4


def test_noise_and_brightness_turn_few_bits_and_other_pictures_many():
    random = np.random.default_rng(1)
    apart = []
    for picture, other in zip(pictures(50), pictures(50, seed=2), strict=True):
        noisy = np.clip(picture + random.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)
        brighter = np.clip(picture.astype(int) * 0.9 + 10, 0, 255).astype(np.uint8)
        assert bits(picture, noisy) <= 8 and bits(picture, brighter) <= 8
        apart.append(bits(picture, other))
    assert min(apart) > 30


@pytest.mark.parametrize("shape", [(4,), (3, 5), (5, 40, 40), (1, 8, 40), (2, 40, 40)])
def test_what_is_no_picture_has_no_near_hash(shape):
    assert hashes.near(np.zeros(shape, np.uint8)) is None


def test_a_picture_that_is_not_finite_has_none():
    assert hashes.near(np.full((1, 20, 20), np.nan, np.float32)) is None
