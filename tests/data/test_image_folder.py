import numpy as np
import pytest
from PIL import Image

from compress import data
from compress.errors import DataError
from compress.recipe import Data


def paint(folder, count, *, size=(6, 5), seed=0, mode="RGB", suffix="png"):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng((seed, *map(ord, str(folder))))
    for i in range(count):
        shape = size if mode == "L" else (*size, len(mode))
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8), mode).save(folder / f"{i}.{suffix}")


@pytest.fixture
def root(tmp_path):
    for split, count in (("train", 20), ("test", 4)):
        for name in ("cat", "dog"):
            paint(tmp_path / split / name, count)
    return tmp_path


def load(root, **options):
    settings = Data(source="image-folder", path=root.name, validation=4, calibration=3, options=options)
    return data.load(settings, root.parent)


def test_folders_become_labels_in_alphabetical_order(root):
    d = load(root)
    assert d.classes == ("cat", "dog")
    assert [len(getattr(d, name)) for name in data.SPLITS] == [33, 3, 4, 8]
    assert d.test.labels.tolist() == [0] * 4 + [1] * 4
    pixels = np.asarray(Image.open(root / "test" / "dog" / "0.png"))
    assert np.array_equal(d.test.inputs[4], pixels.transpose(2, 0, 1))


def test_a_validation_folder_is_used(root):
    for name in ("cat", "dog"):
        paint(root / "val" / name, 3)
    d = load(root)
    assert [len(getattr(d, name)) for name in data.SPLITS] == [37, 3, 6, 8]


def test_classes_alone_give_a_seeded_stratified_test_split(tmp_path):
    paint(tmp_path / "a", 40)
    paint(tmp_path / "b", 20)
    d = load(tmp_path, test_share=0.25)
    assert np.bincount(d.test.labels).tolist() == [10, 5]
    assert sum(len(getattr(d, name)) for name in data.SPLITS) == 60
    assert d.fingerprint == load(tmp_path, test_share=0.25).fingerprint


def test_size_and_channels_are_converted(root):
    d = load(root, size=[8, 7], channels=1)
    assert d.input_shape == (1, 8, 7)
    grey = Image.open(root / "test" / "cat" / "1.png").convert("L").resize((7, 8), Image.Resampling.BILINEAR)
    assert np.array_equal(d.test.inputs[1, 0], np.asarray(grey))


def test_grey_files_can_be_loaded_as_colour(tmp_path):
    for name in ("a", "b"):
        paint(tmp_path / name, 20, mode="L")
    d = load(tmp_path, channels=3)
    assert d.input_shape == (3, 6, 5)
    assert np.array_equal(d.test.inputs[:, 0], d.test.inputs[:, 2])


def test_nested_folders_and_jpegs_are_found_and_hidden_files_are_not(root):
    paint(root / "test" / "cat" / "more", 2, suffix="jpg")
    (root / "test" / "cat" / ".DS_Store").write_bytes(b"x")
    (root / "test" / "cat" / "._0.png").write_bytes(b"x")
    (root / "test" / "cat" / "notes.txt").write_text("x")
    (root / "test" / ".cache").mkdir()
    assert np.bincount(load(root).test.labels).tolist() == [6, 4]


def test_different_sizes_need_the_option_size(root):
    paint(root / "test" / "dog", 1, size=(9, 9))
    with pytest.raises(DataError, match=r"dog/0\.png is 9x9 pixels but .* is 6x5; set options: \{size"):
        load(root)
    assert load(root, size=[6, 5]).input_shape == (3, 6, 5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"bad\.png: the file is empty \(0 bytes\)"),
        (b"\x89PNG\r\n\x1a\n no", r"bad\.png: not a readable picture"),
        (b"hello", r"bad\.png: not a readable picture"),
        (None, r"bad\.png: not a readable picture"),
    ],
)
def test_a_corrupt_picture_is_named(root, content, message):
    whole = (root / "train" / "cat" / "3.png").read_bytes()
    (root / "train" / "cat" / "bad.png").write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(DataError, match=message):
        load(root)


def test_sixteen_bit_pictures_are_not_clipped_silently(root):
    Image.fromarray(np.full((6, 5), 40_000, np.uint16)).save(root / "train" / "cat" / "deep.png")
    with pytest.raises(DataError, match=r"deep\.png: more than 8 bits a pixel"):
        load(root)


def test_unequal_classes_are_named(root):
    paint(root / "test" / "bird", 1)
    with pytest.raises(DataError, match="test: classes 'bird' are not in"):
        load(root)
    paint(root / "train" / "bird", 1)
    paint(root / "train" / "emu", 1)
    with pytest.raises(DataError, match=r"test: classes 'emu' of .* are missing"):
        load(root)


def test_a_single_class_is_refused(tmp_path):
    paint(tmp_path / "only", 5)
    with pytest.raises(DataError, match="at least two; there is only 'only'"):
        load(tmp_path)


def test_an_empty_class_is_named(root):
    (root / "train" / "emu").mkdir()
    (root / "test" / "emu").mkdir()
    with pytest.raises(DataError, match="emu: no pictures there"):
        load(root)


def test_train_without_test_is_refused(tmp_path):
    paint(tmp_path / "train" / "a", 2)
    paint(tmp_path / "train" / "b", 2)
    with pytest.raises(DataError, match="has train but no test/ folder"):
        load(tmp_path)


def test_a_class_too_small_for_a_test_sample_is_named(tmp_path):
    paint(tmp_path / "a", 40)
    paint(tmp_path / "b", 1)
    with pytest.raises(DataError, match="too few samples of 'b': none is left for test"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": [8]}, r"size is \[8\]: give \[height, width\]"),
        ({"size": [8, 0]}, "size is"),
        ({"channels": 2}, "channels is 2: use 1"),
        ({"test_share": 1.5}, "test_share is 1.5"),
    ],
)
def test_options_are_bounded(tmp_path, options, message):
    paint(tmp_path / "a", 10)
    paint(tmp_path / "b", 10)
    with pytest.raises(DataError, match=message):
        load(tmp_path, **options)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="absent: no such folder"):
        load(tmp_path / "absent")
