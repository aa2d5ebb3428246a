"""Arrays from outside: taken exactly, or refused; and nothing hostile in them takes memory or time."""

from __future__ import annotations

import io
import json
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_runtime.bundle.manifest import Tensor
from edge_runtime.errors import InputError, InputTooLargeError
from edge_runtime.preprocess.tensor import sample

BYTES = Tensor("input", "uint8", (None, 2, 3))
FLOATS = Tensor("input", "float32", (None, 4))
ANY = Tensor("input", "int64", (None, None))


def npy(array: np.ndarray, **options: object) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def nested(depth: int) -> list:
    item = [1]
    for _ in range(depth - 1):
        item = [item]
    return item


VALUES = np.array([[0, 1, 2], [253, 254, 255]], np.uint8)


@pytest.mark.parametrize(
    "item",
    [
        VALUES,
        VALUES[None],
        VALUES.astype(np.float64),
        VALUES.astype(">i4"),
        np.asfortranarray(VALUES),
        VALUES.tolist(),
        [VALUES.tolist()],
        json.dumps(VALUES.tolist()),
        json.dumps(VALUES.tolist()).encode(),
        json.dumps(VALUES.astype(float).tolist()),
        npy(VALUES),
        npy(np.asfortranarray(VALUES)),
        npy(VALUES.astype(">u2")),
        bytearray(npy(VALUES)),
    ],
)
def test_every_form_of_a_sample_gives_the_same_array(item: object):
    prepared = sample(item, BYTES)
    assert prepared.dtype == np.uint8 and prepared.flags.c_contiguous
    assert np.array_equal(prepared, VALUES[None])


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ([[0, 1, 2], [3, 4, 256]], "cannot hold 256"),
        ([[0, 1, 2], [3, 4, -1]], "cannot hold -1"),
        ([[0, 1, 2], [3, 4, 0.5]], "cannot hold 0.5"),
        ([[0, 1, 2], [3, 4, 2**63]], "64 bits"),
        ([[0, 1, 2], [3, 4, 2**2000]], "64 bits"),
        ([[0, 1, 2], [3, 4, 1e300]], "cannot hold"),
        ([[0, 1, 2], [3, 4]], "rectangular"),
        ([[0, 1, 2], [3, 4, None]], "NoneType"),
        ([[0, 1, 2], [3, 4, "5"]], "str"),
        ([[0, 1, 2], [3, 4, {}]], "dict"),
        ([[0, 1, 2]], r"shape \(2, 3\), got \(1, 2?"),
        ([], "shape"),
        (7, "shape"),
        (None, "NoneType"),
        ({"a": 1}, "dict"),
        ("[[0,1,2],[3,4,NaN]]", "NaN"),
        ("hello", "neither JSON nor"),
        (b"\xff\xfe", "neither JSON nor"),
        (np.zeros((2, 2, 3), np.uint8), "one sample"),
        (np.zeros((2, 3), object), "takes numbers"),
        (np.zeros((2, 3), "U5"), "takes numbers"),
        (np.full((2, 3), np.nan), "cannot hold nan"),
        (npy(np.array([[None]]), allow_pickle=True), "plain array of numbers; save an array with numpy.save"),
        (npy(VALUES)[:-1], "makes 6 bytes of numbers, and it has 5"),
        (npy(VALUES) + b"!", "makes 6 bytes of numbers, and it has 7"),
        (b"\x93NUMPY", "not a .npy file"),
        (b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535, "header has 65535 bytes"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{", "version 1.0"),
        (nested(9), "lists in lists, 9 deep"),
        (nested(33), "lists in lists, 33 deep"),
        (nested(500), "deep"),
        (json.dumps(nested(40)), "deep"),
    ],
)
def test_what_is_no_sample_is_refused_in_words(item: object, words: str):
    with pytest.raises(InputError, match=words) as refused:
        sample(item, BYTES)
    assert refused.value.status == 400


def test_no_parser_of_pythons_sees_the_header_of_a_file(monkeypatch):
    """Numpy's reader hands it to one (``ast.literal_eval``, or the tokenizer)."""

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a header was handed to Python's parser")

    monkeypatch.setattr("ast.parse", forbidden)
    monkeypatch.setattr("tokenize.generate_tokens", forbidden)
    assert np.array_equal(sample(npy(VALUES), BYTES), VALUES[None])
    with pytest.raises(InputError):
        sample(npy(VALUES).replace(b"'shape'", b"'shapf'"), BYTES)


def test_floats_are_rounded_and_not_refused():
    assert sample([0.1, 1, 2.5, -1e30], FLOATS).tolist() == [[np.float32(0.1), 1, 2.5, np.float32(-1e30)]]


@pytest.mark.parametrize("value", [1e39, float("inf"), float("nan")])
def test_what_a_float_cannot_hold_is_refused(value: float):
    """The model would answer NaN, and that would count against the model."""
    with pytest.raises(InputError, match="cannot hold"):
        sample([0.0, 0.0, 0.0, value], FLOATS)


def test_whole_numbers_of_64_bits_are_exact():
    assert sample([[2**63 - 1, -(2**63)]], ANY).tolist() == [[2**63 - 1, -(2**63)]]
    with pytest.raises(InputError, match="cannot hold"):
        sample(np.array([2**63], np.uint64), ANY)


def header(text: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    "shape", [b"(1099511627776,)", b"(-1,)", b"(65536, 65536, 65536, 65536)", b"(True,)", b"(" + b"9" * 3000 + b",)"]
)
def test_a_header_that_claims_too_much_takes_no_memory(shape: bytes):
    data = header(b"{'descr': '<f8', 'fortran_order': False, 'shape': " + shape + b"}") + b"\0" * 64
    tracemalloc.start()
    with pytest.raises(InputError):
        sample(data, FLOATS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6


def test_one_long_text_among_many_numbers_takes_no_memory():
    """As an array of text, every element would take as much as the longest."""
    items = ["x" * 100_000] + [0] * 9999
    tracemalloc.start()
    with pytest.raises(InputError, match="str"):
        sample(items, Tensor("input", "float32", (None, 10_000)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6


@pytest.mark.parametrize("text", ["[" * 100_000, "[[]," * 30_000, "0," * 100_000])
def test_more_json_than_the_sample_needs_is_not_parsed(text: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("json.loads", lambda *a, **k: pytest.fail("it was parsed"))
    with pytest.raises(InputTooLargeError) as refused:
        sample(text, BYTES)
    assert refused.value.status == 413


def test_json_nested_too_deep_is_refused():
    with pytest.raises(InputError):
        sample("[" * 100_000 + "]" * 100_000, ANY)


def test_a_number_of_many_digits_takes_no_time():
    start = time.perf_counter()
    with pytest.raises(InputError):
        sample("[[" + "9" * 1_000_000 + "]]", ANY)
    assert time.perf_counter() - start < 0.5


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=20,
)


@given(JSON)
@example([[1, 2, 3], [4, 5, 6]])
def test_anything_that_json_can_say_is_taken_exactly_or_refused(value: object):
    try:
        prepared = sample(value, BYTES)
    except InputError:
        return
    assert prepared[0].tolist() == (value[0] if np.ndim(value) == 3 else value)


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_taken_or_refused(data: bytes, as_npy: bool):
    try:
        assert sample(b"\x93NUMPY" + data if as_npy else data, ANY).ndim == 2
    except InputError as error:
        assert str(error)


@pytest.mark.parametrize(
    "item",
    [
        [[0, 1, 2], [253, 254, 255]],
        [[[0, 1, 2], [3, 4, 5]]],
        [[True, False, 2], [3, 4, 5]],
        [[0.0, 1.0, 2.0], [3, 4, 5]],
        [[0.5, 1, 2], [3, 4, 5]],
        [[0, 1, 256], [3, 4, 5]],
        [[0, 1, -1], [3, 4, 5]],
        [[0, 1, 10**30], [3, 4, 5]],
        [[0, 1, 2], [3, 4]],
        [[0, 1, 2], 3],
        [[0, 1, 2], "345"],
        [[0, 1, 2], {3: 3, 4: 4, 5: 5}],
        [[0, 1, 2], (3, 4, 5)],
        [[0, 1, 2], [3, 4, [5]]],
        [[0, 1, 2], [3, 4, None]],
        [0, 1, 2, 3, 4, 5],
        [[0, 1], [2, 3], [4, 5]],
        [[[0, 1, 2], [3, 4, 5]]] * 2,
        [[], []],
        [],
    ],
    ids=repr,
)
def test_the_short_way_for_pixels_ends_where_the_long_one_does(item, monkeypatch):
    def ending() -> str:
        try:
            found = sample(item, BYTES)
        except InputError as error:
            return str(error)
        return f"{found.dtype} {found.shape} {found.tolist()}"

    short = ending()
    monkeypatch.setattr("edge_runtime.preprocess.tensor._pixels", lambda *_: None)
    assert short == ending()
