from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge_runtime.watch import features


def named(inputs):
    return dict(zip(features.names(inputs.shape, inputs.dtype), features.describe(inputs)[0].tolist(), strict=True))


def test_a_picture_is_described_channel_by_channel():
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (1, 3, 32, 32)).astype(np.uint8)
    found = named(picture)
    for channel in range(3):
        pixels = picture[0, channel].astype(float)
        assert found[f"mean of channel {channel}"] == pytest.approx(pixels.mean())
        assert found[f"standard deviation of channel {channel}"] == pytest.approx(pixels.std(), rel=1e-5)
        assert found[f"quantile 0.5 of channel {channel}"] == pytest.approx(np.median(pixels), abs=2)
        sharpness = np.abs(np.diff(pixels, axis=1)).mean()
        assert found[f"sharpness of channel {channel}"] == pytest.approx(sharpness, rel=1e-5)


def test_a_short_row_of_floats_is_described_by_its_values():
    row = np.array([[1.5, -2, 3]], np.float32)
    assert named(row) == {"column 0": 1.5, "column 1": -2, "column 2": 3}


def test_token_ids_are_described_as_a_whole():
    tokens = np.array([[101, 7, 7, 102, 0, 0]], np.int64)
    assert named(tokens)["mean"] == pytest.approx(tokens.mean())


def test_texts_have_no_features():
    texts = np.array([["a"], ["b"]])
    assert features.describe(texts).shape == (2, 0)


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from([np.uint8, np.float32, np.float64, np.int64, np.int8]).flatmap(
        lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=2, max_dims=4, min_side=0, max_side=6))
    )
)
def test_any_array_gives_finite_features_as_many_as_it_has_names(inputs):
    described = features.describe(inputs)
    assert described.shape == (len(inputs), len(features.names(inputs.shape, inputs.dtype)))
    assert np.isfinite(described).all()
