import numpy as np
import pytest

from compress.data.dataset import Dataset, Split, carve, check_disjoint, make_disjoint, stratified
from compress.errors import DataError


def split(*values, label=0):
    x = np.array(values, np.uint8).reshape(-1, 1, 1, 1) * np.ones((1, 1, 2, 2), np.uint8)
    return Split(x, np.full(len(values), label, np.int64))


def dataset(train, calibration, validation, test):
    return Dataset("d", split(*train), split(*calibration), split(*validation), split(*test), ("a", "b"))


def test_equal_inputs_have_equal_hashes_whatever_their_label_and_memory_layout():
    a, b = split(1, 2, label=0), split(2, 1, label=1)
    strided = Split(np.asfortranarray(b.inputs), b.labels)
    assert a.hashes().tolist() == strided.hashes().tolist()[::-1]
    assert len(set(a.hashes().tolist())) == 2


def test_an_empty_split_has_no_hashes():
    assert split().hashes().shape == (0,)


def test_samples_of_a_more_protected_split_are_dropped_from_the_others():
    made = make_disjoint(dataset([1, 2, 3, 3, 4, 9], [4, 5], [5, 6, 9], [9, 9]))
    values = {name: getattr(made, name).inputs[:, 0, 0, 0].tolist() for name in ("train", "calibration", "validation")}
    assert values == {"validation": [5, 6], "calibration": [4], "train": [1, 2, 3, 3]}
    assert made.test.inputs[:, 0, 0, 0].tolist() == [9, 9]
    assert made.dropped == 4
    assert [words.split(":")[1] for words in made.warnings] == [
        " of the 3 validation inputs, 1 also in test",
        " of the 2 calibration inputs, 1 also in validation",
        " of the 6 train inputs, 1 also in calibration and 1 also in test",
    ]
    check_disjoint(made)


def test_making_disjoint_again_keeps_the_count_of_what_was_dropped():
    once = make_disjoint(dataset([1, 2], [3], [4], [1]))
    assert make_disjoint(once).dropped == once.dropped == 1


def test_overlap_is_named_by_its_two_splits():
    with pytest.raises(DataError, match="1 inputs stand in both train and validation"):
        check_disjoint(dataset([1, 2], [3], [2], [4]))


def test_carving_returns_every_sample_once():
    parts = carve(split(*range(50)), validation=10, calibration=5, seed=3)
    assert [len(p) for p in parts] == [35, 5, 10]
    assert sorted(v for p in parts for v in p.inputs[:, 0, 0, 0].tolist()) == list(range(50))


def test_carving_more_than_half_is_refused():
    with pytest.raises(DataError, match="less than half of the 10"):
        carve(split(*range(10)), validation=4, calibration=2, seed=0)


def test_a_stratified_draw_keeps_the_classes_proportions():
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    index = stratified(labels, 100, seed=1)
    assert np.bincount(labels[index]).tolist() == [60, 30, 10]
    assert (np.diff(index) > 0).all()
    assert not np.array_equal(index, stratified(labels, 100, seed=2))
    assert np.array_equal(index, stratified(labels, 100, seed=1))


def test_fingerprint_depends_on_labels_and_inputs():
    base = dataset([1, 2], [3], [4], [5])
    other = Dataset("d", split(1, 2, label=1), base.calibration, base.validation, base.test, base.classes)
    assert base.fingerprint == dataset([1, 2], [3], [4], [5]).fingerprint
    assert base.fingerprint != other.fingerprint
    assert base.fingerprint != dataset([1, 7], [3], [4], [5]).fingerprint
