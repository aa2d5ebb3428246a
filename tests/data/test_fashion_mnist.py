import gzip
import struct

import numpy as np
import pytest

from compress import data
from compress.data.fashion_mnist import DEBIAN_FOLDER
from compress.errors import DataError
from compress.recipe import Data


def idx(array):
    header = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}i", *array.shape)
    return gzip.compress(header + array.tobytes())


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for prefix, n in (("train", 40), ("t10k", 10)):
        images = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        (tmp_path / f"{prefix}-images-idx3-ubyte.gz").write_bytes(idx(images))
        (tmp_path / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(idx((np.arange(n) % 10).astype(np.uint8)))
    return tmp_path


def load(folder):
    return data.load(Data(source="fashion-mnist", path=folder.name, validation=8, calibration=4), folder.parent)


def test_the_idx_files_become_four_splits(folder):
    d = load(folder)
    assert [len(getattr(d, name)) for name in data.SPLITS] == [28, 4, 8, 10]
    assert d.input_shape == (1, 28, 28)
    assert d.test.labels.tolist() == list(range(10))
    assert all(getattr(d, name).inputs.flags.writeable for name in data.SPLITS)


def test_a_damaged_file_is_named(folder):
    file = folder / "t10k-images-idx3-ubyte.gz"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"t10k-images.*cannot be read"):
        load(folder)
    file.write_bytes(gzip.compress(gzip.decompress(whole)[:-5]))
    with pytest.raises(DataError, match="7835 bytes where its header promises 7840"):
        load(folder)
    file.write_bytes(gzip.compress(b"text"))
    with pytest.raises(DataError, match="not an idx file"):
        load(folder)


def test_a_folder_without_the_files_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no train-images-idx3-ubyte\.gz there"):
        load(tmp_path)


@pytest.mark.skipif(not DEBIAN_FOLDER.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_the_published_data_are_split_as_ever():
    """Teachers were trained on this very split: another one would put their training samples into validation."""
    d = data.load(Data(source="fashion-mnist"), DEBIAN_FOLDER)
    assert d.dropped == 0
    assert d.fingerprint == "ad1f3821af6ee52c477dd1db62f117692fe8abae6e1483214c7aa2f127b888f9"
