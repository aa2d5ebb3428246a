import io

import numpy as np
import pytest
from PIL import Image

from compress import data
from compress.errors import DataError
from compress.recipe import Data

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def offline(tmp_path_factory, monkeypatch):
    """A cache of its own for each test, and no network."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


def pictures(n, seed):
    rng = np.random.default_rng(seed)
    return [Image.fromarray(rng.integers(0, 256, (6, 5), dtype=np.uint8)) for _ in range(n)]


def table(n, seed, image="image", label="label"):
    features = datasets.Features({image: datasets.Image(), label: datasets.ClassLabel(names=["cat", "dog"])})
    return datasets.Dataset.from_dict({image: pictures(n, seed), label: [i % 2 for i in range(n)]}, features=features)


def load(path, **options):
    counts = {"validation": 4, "calibration": 3}
    settings = Data(source="huggingface", path=path.name, **counts, options={"channels": 1, **options})
    return data.load(settings, path.parent)


def test_a_folder_of_parquet_files_with_pictures(tmp_path):
    table(30, 0).to_parquet(tmp_path / "train.parquet")
    table(8, 1).to_parquet(tmp_path / "test.parquet")
    d = load(tmp_path)
    assert [len(getattr(d, name)) for name in data.SPLITS] == [23, 3, 4, 8]
    assert d.classes == ("cat", "dog")
    assert np.array_equal(d.test.inputs[3, 0], np.asarray(pictures(8, 1)[3]))
    assert d.test.labels.tolist() == [0, 1] * 4


def test_one_parquet_file_with_other_columns_and_a_drawn_test_split(tmp_path):
    table(40, 0, image="picture", label="kind").to_parquet(tmp_path / "all.parquet")
    d = load(tmp_path / "all.parquet", image="picture", label="kind", test_share=0.25, size=[4, 4], channels=3)
    assert [len(getattr(d, name)) for name in data.SPLITS] == [23, 3, 4, 10]
    assert d.input_shape == (3, 4, 4)


def test_parquet_with_plain_bytes_and_string_labels(tmp_path):
    def png(image):
        buffer = io.BytesIO()
        image.save(buffer, "png")
        return buffer.getvalue()

    rows = {"image": [png(p) for p in pictures(30, 0)], "label": ["dog", "ant", "cat"] * 10}
    datasets.Dataset.from_dict(rows).to_parquet(tmp_path / "all.parquet")
    d = load(tmp_path / "all.parquet", test_share=0.2)
    assert d.classes == ("ant", "cat", "dog")
    assert np.bincount(d.test.labels).tolist() == [2, 2, 2]


def test_a_csv_of_file_names_relative_to_it(tmp_path):
    for split, n in (("train", 20), ("test", 6)):
        lines = ["image,label"]
        for i, picture in enumerate(pictures(n, len(split))):
            picture.save(tmp_path / f"{split}-{i}.png")
            lines.append(f"{split}-{i}.png,{i % 3}")
        (tmp_path / f"{split}.csv").write_text("\n".join(lines) + "\n")
    d = load(tmp_path / "train.csv", test_share=0.3)
    assert d.classes == ("0", "1", "2")
    assert len(d.test) == 6
    (tmp_path / "train-7.png").unlink()
    with pytest.raises(DataError, match=r"train row 7: .*train-7\.png does not exist"):
        load(tmp_path / "train.csv", test_share=0.3)


def test_a_folder_of_pictures(tmp_path):
    for split, n in (("train", 12), ("test", 4)):
        for seed, name in enumerate(("ant", "bee")):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for i, picture in enumerate(pictures(n, (seed, n))):
                picture.save(folder / f"{i}.png")
    d = load(tmp_path)
    assert d.classes == ("ant", "bee")
    assert [len(getattr(d, name)) for name in data.SPLITS] == [17, 3, 4, 8]


def test_what_save_to_disk_wrote_with_a_validation_split(tmp_path):
    both = datasets.DatasetDict({"train": table(30, 0), "test": table(8, 1), "validation": table(6, 2)})
    both.save_to_disk(tmp_path / "saved")
    d = load(tmp_path / "saved")
    assert [len(getattr(d, name)) for name in data.SPLITS] == [27, 3, 6, 8]


def test_nested_lists_of_pixels(tmp_path):
    rows = {"image": [np.asarray(p).tolist() for p in pictures(30, 0)], "label": [i % 2 for i in range(30)]}
    datasets.Dataset.from_dict(rows).to_parquet(tmp_path / "all.parquet")
    d = load(tmp_path / "all.parquet", test_share=0.2)
    assert d.test.inputs.dtype == np.uint8
    assert d.input_shape == (1, 6, 5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "there is no split 'test', only train; set options"),
        ({"image": "img", "test_share": 0.2}, r"there is no column 'img', only image, label; set options: \{image"),
        ({"label": "y", "test_share": 0.2}, r"there is no column 'y'"),
        ({"train_split": "fit"}, "there is no split 'fit'"),
    ],
)
def test_wrong_names_are_answered_with_the_right_ones(tmp_path, options, message):
    table(20, 0).to_parquet(tmp_path / "all.parquet")
    with pytest.raises(DataError, match=message):
        load(tmp_path / "all.parquet", **options)


def test_a_corrupt_picture_is_named_by_its_row(tmp_path):
    rows = {"image": [b"\x89PNG broken"] * 20, "label": [0, 1] * 10}
    datasets.Dataset.from_dict(rows).to_parquet(tmp_path / "all.parquet")
    with pytest.raises(DataError, match="train row 0: not a readable picture"):
        load(tmp_path / "all.parquet", test_share=0.2)


def test_labels_outside_the_classes_are_named_by_their_row(tmp_path):
    for name, n, seed in (("train", 20, 0), ("test", 4, 1)):
        pixels = [np.asarray(p).tolist() for p in pictures(n, seed)]
        rows = {"image": pixels, "label": [i % (2 + seed) for i in range(n)]}
        datasets.Dataset.from_dict(rows).to_parquet(tmp_path / f"{name}.parquet")
    with pytest.raises(DataError, match="test row 2: label 2 is not one of the 2 classes"):
        load(tmp_path)


def test_files_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match=r"bad\.parquet: datasets cannot load it"):
        load(tmp_path / "bad.parquet", test_share=0.2)
    with pytest.raises(DataError, match=r"absent\.parquet: no such file"):
        load(tmp_path / "absent.parquet")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match=r"\.txt is not among \.parquet"):
        load(tmp_path / "notes.txt")


def test_an_id_that_cannot_be_reached_is_named(tmp_path):
    settings = Data(source="huggingface", options={"name": "owner/nothing-of-this-name"})
    with pytest.raises(DataError, match="owner/nothing-of-this-name: datasets cannot load it"):
        data.load(settings, tmp_path)


def test_a_path_and_an_id_exclude_each_other(tmp_path):
    with pytest.raises(DataError, match=r"either data\.path \(local\) or data\.options\.name"):
        data.load(Data(source="huggingface"), tmp_path)
