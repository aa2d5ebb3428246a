"""The gate that every source passes, and the sources npz and package.module:callable."""

import textwrap
import zipfile

import numpy as np
import pytest

from compress import data
from compress.errors import DataError, RecipeError
from compress.recipe import Data


def arrays(n=40, shape=(1, 6, 5), classes=4, seed=0, dtype=np.uint8):
    rng = np.random.default_rng(seed)
    x = lambda count: rng.integers(0, 256, (count, *shape)).astype(dtype)  # noqa: E731
    y = lambda count: np.arange(count) % classes  # noqa: E731
    return {"x_train": x(n), "y_train": y(n), "x_test": x(12), "y_test": y(12)}


def load_npz(folder, content, **options):
    np.savez(folder / "d.npz", **content)
    settings = Data(source="npz", path="d.npz", validation=6, calibration=4, options=options)
    return data.load(settings, folder)


def test_an_archive_gives_four_disjoint_splits(tmp_path):
    d = load_npz(tmp_path, arrays())
    assert [len(getattr(d, name)) for name in data.SPLITS] == [30, 4, 6, 12]
    assert d.input_shape == (1, 6, 5)
    assert d.classes == ("0", "1", "2", "3")
    assert (d.name, d.licence) == ("d", "unknown")


def test_splits_in_the_archive_are_used_and_only_the_others_are_carved(tmp_path):
    more = arrays(n=9, seed=1)
    content = {**arrays(), "x_validation": more["x_train"], "y_validation": more["y_train"]}
    d = load_npz(tmp_path, {**content, "classes": np.array(list("wxyz")), "licence": np.array("MIT")})
    assert [len(getattr(d, name)) for name in data.SPLITS] == [36, 4, 9, 12]
    assert np.array_equal(d.validation.inputs, more["x_train"])
    assert (d.classes, d.licence) == (("w", "x", "y", "z"), "MIT")


def test_a_training_sample_that_is_also_in_test_is_dropped(tmp_path):
    content = arrays()
    content["x_train"][7] = content["x_test"][3]
    d = load_npz(tmp_path, content)
    assert d.dropped == 1
    assert sum(len(getattr(d, name)) for name in data.SPLITS) == 51


def test_an_lzma_archive_is_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "d.npz", "w", zipfile.ZIP_LZMA) as archive:
        for name, array in arrays().items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array)
    d = data.load(Data(source="npz", path="d.npz", validation=6, calibration=4), tmp_path)
    assert np.array_equal(d.test.inputs, arrays()["x_test"])


@pytest.mark.parametrize(
    ("stored", "layout"),
    [((6, 5), None), ((6, 5, 1), None), ((1, 6, 5), None), ((6, 5, 1), "NHWC"), ((1, 6, 5), "NCHW")],
)
def test_every_layout_of_grey_pictures_gives_the_same_inputs(tmp_path, stored, layout):
    content = {k: v.reshape(len(v), *stored) if k[0] == "x" else v for k, v in arrays().items()}
    d = load_npz(tmp_path, content, **({"layout": layout} if layout else {}))
    assert np.array_equal(d.test.inputs, arrays()["x_test"])


def test_channels_last_colour_is_moved_not_reshaped(tmp_path):
    content = arrays(shape=(6, 5, 3))
    d = load_npz(tmp_path, content)
    assert d.input_shape == (3, 6, 5)
    assert np.array_equal(d.test.inputs[:, 2], content["x_test"][..., 2])


@pytest.mark.parametrize("shape", [(3, 6, 3), (4, 6, 5)])
def test_a_layout_that_the_shape_does_not_tell_must_be_said(tmp_path, shape):
    with pytest.raises(DataError, match=r"d\.npz: x_train has shape .* say options: \{layout: NCHW\}"):
        load_npz(tmp_path, arrays(shape=shape))
    assert load_npz(tmp_path, arrays(shape=shape), layout="NCHW").input_shape == shape


def test_floats_become_float32(tmp_path):
    assert load_npz(tmp_path, arrays(dtype=np.float64)).test.inputs.dtype == np.float32


def broken(**changes):
    content = {**arrays(), **changes}
    return {key: value for key, value in content.items() if value is not None}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (broken(x_test=None), "x_test is missing; it has x_train, y_train, y_test"),
        (broken(x_validation=arrays()["x_test"]), "y_validation is missing"),
        (broken(y_train=np.zeros(39, int)), "every input needs one label"),
        (broken(y_train=np.arange(40) % 4 - 1), "train labels go from -1 to 2"),
        (broken(y_test=np.full(12, 4)), "test labels go from 4 to 4, but with 4 classes they must be 0 to 3"),
        (broken(y_train=np.zeros(40, int), y_test=np.zeros(12, int)), "1 class: there is nothing to tell apart"),
        (broken(y_train=np.eye(4)[np.arange(40) % 4]), r"take argmax\(1\) of one-hot rows"),
        (broken(y_train=np.arange(40) / 2), "labels are one whole number a sample"),
        (broken(x_train=arrays()["x_train"].astype(np.int64)), "x_train is int64: give uint8 pixels"),
        (broken(x_train=arrays(shape=(1, 6, 6))["x_train"]), "all splits need the same"),
        (broken(x_train=arrays(shape=(30,))["x_train"]), r"x_train has shape \(40, 30\): give \(N, H, W\)"),
        (
            broken(x_calibration=np.zeros((0, 8, 8), np.uint8), y_calibration=np.zeros(0, int)),
            "x_calibration and y_calibration are empty; put samples in .* leave it out of the data: data.calibration",
        ),
        (broken(x_test=np.array([]), y_test=np.array([])), "x_test and y_test are empty; it needs samples"),
        (broken(classes=np.array(["a", "b"])), "train labels go from 0 to 3, but with 2 classes"),
        (broken(classes=np.array(list("abcd"), object)), "not of dtype=object"),
        (broken(classes=np.arange(4)), r"save np.array\(\[names...\]\) of str"),
    ],
)
def test_unusable_arrays_are_named_with_the_file(tmp_path, content, message):
    with pytest.raises(DataError, match=rf"d\.npz.*{message}"):
        load_npz(tmp_path, content)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_counted_and_located(tmp_path, bad):
    content = arrays(dtype=np.float32)
    content["x_test"][[5, 8], 0, 1, 1] = bad
    with pytest.raises(DataError, match="2 test inputs hold NaN or infinity, the first is number 5"):
        load_npz(tmp_path, content)


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"no zip", lambda b: b""])
def test_a_damaged_archive_is_named(tmp_path, damage):
    np.savez_compressed(tmp_path / "whole.npz", **arrays())
    (tmp_path / "d.npz").write_bytes(damage((tmp_path / "whole.npz").read_bytes()))
    with pytest.raises(DataError, match=r"d\.npz: not a readable .npz archive"):
        data.load(Data(source="npz", path="d.npz"), tmp_path)


def test_damaged_lzma_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "d.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x_train.npy", np.random.default_rng(0).bytes(4000))
    content = bytearray((tmp_path / "d.npz").read_bytes())
    content[200:300] = bytes(100)
    (tmp_path / "d.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"d\.npz: not a readable \.npz archive"):
        data.load(Data(source="npz", path="d.npz"), tmp_path)


def test_a_bare_array_and_a_missing_file_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"no such file; data\.path is relative to the recipe"):
        data.load(Data(source="npz", path="d.npz"), tmp_path)
    with open(tmp_path / "d.npz", "wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DataError, match="one bare array"):
        data.load(Data(source="npz", path="d.npz"), tmp_path)
    with pytest.raises(DataError, match=r"data\.path is missing"):
        data.load(Data(source="npz"), tmp_path)


def test_too_few_training_samples_to_carve_from_are_named_with_the_file(tmp_path):
    np.savez(tmp_path / "d.npz", **arrays())
    with pytest.raises(DataError, match=r"d\.npz: validation=4000 and calibration=1000 leave less than half of the 40"):
        data.load(Data(source="npz", path="d.npz"), tmp_path)


def test_a_split_that_was_only_copies_of_test_is_empty_and_named(tmp_path):
    content = arrays()
    content |= {"x_validation": content["x_test"], "y_validation": content["y_test"]}
    message = "of the 12 validation inputs, 12 also in test, so that none is left; put samples in that are in no other"
    with pytest.raises(DataError, match=message):
        load_npz(tmp_path, content)


def test_inputs_in_two_splits_are_told_with_their_counts(tmp_path):
    more = arrays(n=9, seed=1)
    content = {**arrays(), "x_calibration": more["x_train"], "y_calibration": more["y_train"]}
    assert load_npz(tmp_path, content).warnings == ()
    content["x_calibration"][:2] = content["x_test"][:2]
    (words,) = load_npz(tmp_path, content).warnings
    assert words.startswith("d: of the 9 calibration inputs, 2 also in test: left out of calibration")


def test_an_unknown_source_suggests_the_nearest_one(tmp_path):
    with pytest.raises(RecipeError, match=r"unknown source 'fashion_mnist'; did you mean 'fashion-mnist'"):
        data.load(Data(source="fashion_mnist"), tmp_path)


def test_an_unknown_option_suggests_the_nearest_one_before_anything_is_read(tmp_path):
    with pytest.raises(RecipeError, match=r"npz has no option 'layot'; did you mean 'layout'"):
        data.load(Data(source="npz", path="absent.npz", options={"layot": "NHWC"}), tmp_path)


def test_a_path_may_start_at_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    np.savez(tmp_path / "d.npz", **arrays())
    settings = Data(source="npz", path="~/d.npz", validation=6, calibration=4)
    assert data.load(settings, tmp_path / "elsewhere").name == "d"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A recipe's folder with the user's own module, whose name no other test uses."""
    name = f"data_of_{tmp_path.name}"

    def write(body):
        (tmp_path / f"{name}.py").write_text("import numpy as np\n" + textwrap.dedent(body))
        return name

    monkeypatch.syspath_prepend(tmp_path.parent)  # restores sys.path afterwards
    return write


ARRAYS = """
def make(n, seed, classes=3):
    rng = np.random.default_rng(seed)
    x = lambda count: rng.integers(0, 256, (count, 4, 4), dtype=np.uint8)
    y = lambda count: np.arange(count) % classes
    return {"x_train": x(n), "y_train": y(n), "x_test": x(9), "y_test": y(9), "classes": ["a", "b", "c"]}
"""


def load_callable(tmp_path, name, **options):
    return data.load(Data(source=name, validation=5, calibration=5, seed=2, options=options), tmp_path)


def test_a_function_of_the_project_gives_arrays(tmp_path, project):
    d = load_callable(tmp_path, f"{project(ARRAYS)}:make", n=30)
    assert [len(getattr(d, name)) for name in data.SPLITS] == [20, 5, 5, 9]
    assert d.classes == ("a", "b", "c")
    assert d.name == "make"


def test_a_function_of_the_project_gives_a_dataset(tmp_path, project):
    body = """
    from compress.data import Dataset, Split
    def make(**everything):
        assert sorted(everything) == ["calibration", "path", "seed", "validation"]
        splits = [Split(np.full((2, 1, 2, 2), i, np.uint8), np.arange(2)) for i in range(4)]
        return Dataset("mine", *splits, classes=("a", "b"))
    """
    assert load_callable(tmp_path, f"{project(body)}:make").name == "mine"


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        ("def make(): return 5", DataError, "make returned a int: return a compress.data.Dataset"),
        ("def make(): return {'x_train': [1]}", DataError, "x_train is a list; return NumPy arrays"),
        ("def make(): return {}", DataError, "x_train and y_train is missing; it has no arrays"),
        ("def make(): raise OSError('disk')", DataError, "make failed with OSError: disk"),
        ("def make(wide): return 5", RecipeError, "missing a required argument: 'wide'"),
        ("make = 5", RecipeError, "make is a int, not something to call"),
        ("other = 5", RecipeError, "has no 'make'"),
        ("import not_there_at_all", RecipeError, "needs the module 'not_there_at_all'"),
        ("1 / 0", RecipeError, "failed: ZeroDivisionError"),
    ],
)
def test_mistakes_in_the_project_are_told_without_guessing(tmp_path, project, body, error, message):
    with pytest.raises(error, match=message):
        load_callable(tmp_path, f"{project(body)}:make")


def test_a_module_that_does_not_exist_is_looked_for_in_the_recipes_folder(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RecipeError, match=rf"data.source: no module 'nowhere_to_be_found' .*{tmp_path.name}"):
        load_callable(tmp_path, "nowhere_to_be_found.sub:make")


def test_a_dataset_of_lists_is_refused(tmp_path, project):
    body = """
    from compress.data import Dataset, Split
    def make():
        splits = [Split([[0]], [1]) for i in range(4)]
        return Dataset("mine", *splits, classes=("a", "b"))
    """
    with pytest.raises(DataError, match="mine: train holds a list"):
        load_callable(tmp_path, f"{project(body)}:make")
