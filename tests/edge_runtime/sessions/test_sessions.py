"""What every runtime's session promises, checked on each of them."""

from __future__ import annotations

import importlib.metadata
import threading
from pathlib import Path

import numpy as np
import pytest

from edge_runtime import InputError, Session, SessionError, TensorSpec, open_session

SUFFIX = {"onnxruntime": ".onnx", "openvino": ".xml"}
PIXELS = np.random.default_rng(1).integers(0, 256, (6, 1, 8, 8), np.uint8)

pytestmark = pytest.mark.integration


@pytest.fixture(params=SUFFIX)
def runtime(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def pixels(models: Path, runtime: str) -> Session:
    with open_session(models / f"pixels{SUFFIX[runtime]}") as session:
        yield session


@pytest.fixture
def two(models: Path, runtime: str) -> Session:
    with open_session(models / f"two{SUFFIX[runtime]}") as session:
        yield session


def test_a_session_says_what_it_is(pixels: Session, runtime: str):
    assert (pixels.runtime, pixels.threads) == (runtime, 1)
    assert pixels.version == importlib.metadata.version(runtime).split("-")[0]
    assert pixels.inputs[0].name == "input"
    assert pixels.inputs[0].dtype == "uint8"
    assert pixels.inputs[0].shape[1:] == (1, 8, 8)
    assert not isinstance(pixels.inputs[0].shape[0], int)
    assert [(spec.name, spec.dtype, spec.shape[1:]) for spec in pixels.outputs] == [("logits", "float32", (10,))]


def test_runtimes_agree(models: Path):
    answers = [open_session(models / f"pixels{suffix}").predict(PIXELS) for suffix in SUFFIX.values()]
    np.testing.assert_allclose(answers[0], answers[1], rtol=1e-5, atol=1e-2)


def test_predict_and_run_give_the_same(pixels: Session):
    outputs = pixels.run({"input": PIXELS})
    assert list(outputs) == ["logits"]
    np.testing.assert_array_equal(outputs["logits"], pixels.predict(PIXELS))


def test_the_batch_may_change_from_call_to_call(pixels: Session):
    whole = pixels.predict(PIXELS)
    for size in (1, 4, 2, 6, 1):
        np.testing.assert_allclose(pixels.predict(PIXELS[:size]), whole[:size], rtol=1e-5, atol=1e-2)


def test_several_inputs_and_outputs_go_by_name_in_any_order(two: Session):
    left, right = np.float32([5, 7]), np.float32([1, 2])
    outputs = two.run({"right": right, "left": left})
    assert {name: list(value) for name, value in outputs.items()} == {"sum": [6, 9], "difference": [4, 5]}


def test_a_result_is_not_changed_by_the_next_call(pixels: Session):
    first = pixels.predict(PIXELS[:1])
    kept = first.copy()
    run = pixels.run({"input": PIXELS[:1]})["logits"]
    pixels.predict(PIXELS[1:2])
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(run, kept)


def test_a_result_outlives_its_session(models: Path, runtime: str):
    with open_session(models / f"pixels{SUFFIX[runtime]}") as session:
        result = session.predict(PIXELS)
        kept = result.copy()
    del session
    np.testing.assert_array_equal(result, kept)


def test_a_result_shares_no_memory_with_the_input(models: Path, runtime: str):
    with open_session(models / f"same{SUFFIX[runtime]}") as session:
        given = np.arange(4, dtype=np.int32)
        result = session.predict(given)
        given[:] = 9
        assert list(result) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(np.arange(8, dtype=np.int32)[::2], id="strided"),
        pytest.param(np.frombuffer(np.int32([0, 2, 4, 6]).tobytes(), np.int32), id="read-only"),
        pytest.param(np.array([0, 2, 4, 6], ">i4"), id="big-endian"),
        pytest.param(np.array([0, 2, 4, 6], "<i4"), id="little-endian"),
    ],
)
def test_any_memory_layout_of_the_right_dtype_is_read_rightly(models: Path, runtime: str, array: np.ndarray):
    with open_session(models / f"same{SUFFIX[runtime]}") as session:
        assert list(session.predict(array)) == [0, 2, 4, 6]
        assert list(session.run({"x": array})["y"]) == [0, 2, 4, 6]


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (PIXELS.astype(np.float32), r"'input': uint8 of shape \(.*, 1, 8, 8\), got float32 of shape \(6, 1, 8, 8\)"),
        (PIXELS[:, 0], r"got uint8 of shape \(6, 8, 8\)"),
        (PIXELS[..., :7], r"got uint8 of shape \(6, 1, 8, 7\)"),
        (PIXELS.tolist(), "got list instead of a numpy array"),
        (None, "got NoneType instead of a numpy array"),
    ],
    ids=["dtype", "rank", "size", "list", "none"],
)
def test_an_array_that_does_not_fit_is_refused_in_words(pixels: Session, array: object, words: str):
    with pytest.raises(InputError, match=words):
        pixels.predict(array)
    with pytest.raises(InputError, match=words):
        pixels.run({"input": array})
    assert pixels.predict(PIXELS).shape == (6, 10)


@pytest.mark.parametrize("names", [[], ["left"], ["left", "wrong"], ["left", "right", "wrong"]])
def test_wrong_input_names_are_refused_with_the_right_ones(two: Session, names: list[str]):
    array = np.float32([1])
    two.run({"left": array, "right": array})  # so that there is a last call's input to be left over
    with pytest.raises(InputError, match=r"Inputs are 'left': float32 of shape \(.*\); 'right': float32"):
        two.run(dict.fromkeys(names, array))


def test_run_without_names_is_refused(pixels: Session):
    with pytest.raises(InputError, match="run takes a dictionary of arrays by name, not ndarray"):
        pixels.run(PIXELS)


def test_predict_is_refused_on_a_model_of_several_inputs(two: Session):
    with pytest.raises(InputError, match="this model has 2 and 2; use run"):
        two.predict(np.float32([1]))


def test_a_closed_session_says_so(pixels: Session):
    pixels.close()
    pixels.close()
    for call in (lambda: pixels.predict(PIXELS), lambda: pixels.run({"input": PIXELS})):
        with pytest.raises(SessionError, match="this session is closed"):
            call()


def test_threads_that_share_a_session_get_their_own_answers(pixels: Session):
    expected = [pixels.predict(PIXELS[i : i + 1]) for i in range(4)]
    wrong = []

    def work(index: int) -> None:
        for _ in range(200):
            if not np.array_equal(pixels.predict(PIXELS[index : index + 1]), expected[index]):
                wrong.append(index)

    workers = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []


def test_a_session_describes_itself_in_one_line(pixels: Session, runtime: str):
    assert repr(pixels).endswith(f"pixels{SUFFIX[runtime]}, {runtime} {pixels.version}, 1 thread(s)>")


@pytest.mark.parametrize(
    ("shape", "fits"), [((3, 2), True), ((1, 2), True), ((3, 4), False), ((2,), False), ((3, 2, 1), False)]
)
def test_a_spec_fixes_only_the_axes_with_a_size(shape: tuple[int, ...], fits: bool):
    assert TensorSpec("x", "int64", ("batch", 2)).accepts(np.zeros(shape, np.int64)) is fits
    assert TensorSpec("x", "int64", (None, 2)).accepts(np.zeros(shape, np.int64)) is fits
    assert not TensorSpec("x", "int32", ("batch", 2)).accepts(np.zeros(shape, np.int64))
