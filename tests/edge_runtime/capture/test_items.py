from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge_runtime.capture import items
from edge_runtime.capture.items import Name, Prediction, Record
from edge_runtime.errors import CaptureError

RECORD = Record(1e9, "7", 0.25, ("random",), Prediction(1, "boot", 0.5, 1.2, 0.1))


@settings(deadline=None)
@given(
    arrays.arrays(st.sampled_from([np.uint8, np.float32, np.int64]), arrays.array_shapes(min_dims=0, max_side=5)),
    st.sampled_from([RECORD, Record(0.0, "", 1.0, (), None)]),
)
def test_what_is_written_is_read(tmp_path_factory, sample, record):
    path = tmp_path_factory.mktemp("items") / "x.npz"
    path.write_bytes(items.encode(sample, record))
    found, known = items.read(path)
    assert known == record and found.dtype == sample.dtype
    np.testing.assert_array_equal(found, sample)


@settings(deadline=None)
@given(
    st.integers(0, 4_000_000_000), st.binary(min_size=16, max_size=16), st.none() | st.binary(min_size=16, max_size=16)
)
def test_a_name_tells_time_and_hashes(second, exact, near):
    name = Name(second, exact.hex(), near)
    assert items.parse_name(name.id) == name


@pytest.mark.parametrize("text", ["", "x", "20261301T000000-" + "0" * 32 + "-none", "../" + "0" * 32])
def test_other_names_are_not_ours(text):
    assert items.parse_name(text) is None


def test_every_cut_is_noticed_and_every_flipped_bit_is_noticed_or_harmless(tmp_path):
    sample = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
    data = items.encode(sample, RECORD)
    path = tmp_path / "x.npz"
    noticed = 0
    for place in range(0, len(data), 5):
        path.write_bytes(data[:place])
        with pytest.raises(CaptureError, match="damaged") as refused:
            items.read(path)
        assert refused.value.code == "capture-failed"
        path.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        try:
            found, record = items.read(path)
        except CaptureError:
            noticed += 1
        else:  # a time or an attribute in the archive's directory
            assert record == RECORD and (found == sample).all()
    assert noticed > len(data) / 5 / 2


def test_an_archive_that_claims_to_be_huge_is_not_unpacked(tmp_path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, input=np.zeros(70_000_000, np.uint8), record=np.zeros(1, np.uint8))
    assert path.stat().st_size < 1_000_000
    with pytest.raises(CaptureError, match="claims 7"):
        items.read(path)


def test_pickled_objects_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, input=np.array([{}], dtype=object), record=np.zeros(1, np.uint8))
    with pytest.raises(CaptureError, match="damaged"):
        items.read(path)
