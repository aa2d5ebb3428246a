"""From a bundle's file to an answer: only what is signed and whole is opened, and the answer is the engine's."""

from __future__ import annotations

import gc
import io
import os
import platform
import shutil
import stat
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from bundles import KEY, LABELS, OTHER_KEY, golden, make_bundle, tiny_model
from PIL import Image

import edge_runtime
from edge_runtime import open_model
from edge_runtime.bundle import archive
from edge_runtime.bundle.manifest import Tensor
from edge_runtime.errors import (
    BundleError,
    ContentError,
    EdgeRuntimeError,
    InputError,
    InputTooLargeError,
    ManifestError,
    ModelFileError,
    OutputError,
    SessionError,
    SignatureError,
    TargetError,
    UnknownKeyError,
)

KEYS = [KEY.public]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where bundles are unpacked, and a home without keys."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("EDGE_RUNTIME_HOME", str(tmp_path / "home"))
    return folder


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path)


def softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def test_the_golden_inputs_get_the_golden_outputs(bundle: Path):
    inputs, outputs = golden(tiny_model())
    with open_model(bundle, keys=KEYS) as model:
        np.testing.assert_allclose(model.infer({"input": inputs})["logits"], outputs, atol=1e-3)
        predictions = [model.predict(pixels) for pixels in inputs]
        together = model.interpret(outputs)
    assert [p.index for p in predictions] == outputs.argmax(axis=1).tolist() == [p.index for p in together]
    for prediction, shares in zip(predictions, softmax(outputs), strict=True):
        order = np.argsort(-shares)[:5]
        assert prediction.label == LABELS[prediction.index] == prediction.top[0][0]
        assert [name for name, _ in prediction.top] == [LABELS[index] for index in order]
        np.testing.assert_allclose([share for _, share in prediction.top], shares[order], atol=1e-5)
        assert prediction.confidence == prediction.top[0][1]


def test_a_picture_may_be_bytes_or_a_path_and_never_a_text(bundle: Path, tmp_path: Path):
    pixels = np.random.default_rng(3).integers(0, 256, (28, 28), np.uint8)
    path = tmp_path / "boot.png"
    Image.fromarray(pixels).save(path)
    with open_model(bundle, keys=KEYS) as model:
        answers = {model.predict(item) for item in (path, path.read_bytes(), pixels[None])}
        with pytest.raises(InputError, match="bytes of a file"):
            model.predict(str(path))
    assert len(answers) == 1


def test_classes_without_labels_are_told_by_their_index(tmp_path: Path):
    with open_model(make_bundle(tmp_path, labels=()), keys=KEYS) as model:
        prediction = model.interpret(np.array([[0.0, 3.0, 1.0]]))[0]
    assert (prediction.label, prediction.index) == (None, 1)
    assert [name for name, _ in prediction.top] == ["1", "2", "0"]


def test_among_equal_classes_the_first_is_told_as_argmax_has_it(bundle: Path):
    with open_model(bundle, keys=KEYS) as model:
        ties = model.interpret(np.zeros((1, 10), np.float32))[0]
        sure = model.interpret(np.array([[0.0, 800.0, 900.0] + [0.0] * 7]))[0]  # both shares round to 1 or 0
    assert (ties.index, ties.confidence) == (0, pytest.approx(0.1))
    assert (sure.index, [name for name, _ in sure.top[:2]]) == (2, ["class-2", "class-1"])


@pytest.mark.parametrize("outputs", [np.zeros(10), np.zeros((1, 9)), np.zeros((1, 0)), np.zeros((1, 1, 10))])
def test_an_answer_that_is_no_row_of_classes_is_refused(bundle: Path, outputs: np.ndarray):
    with open_model(bundle, keys=KEYS) as model, pytest.raises(OutputError):
        model.interpret(outputs)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_answer_that_is_not_finite_is_no_confidence(bundle: Path, value: float):
    with open_model(bundle, keys=KEYS) as model, pytest.raises(OutputError, match="not finite"):
        model.interpret(np.array([[value] + [0.0] * 9], np.float32))


def test_the_unpacked_files_are_private_and_go_with_the_model(bundle: Path, temporary: Path):
    model = open_model(bundle, keys=KEYS)
    (folder,) = temporary.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    model.close()
    model.close()
    assert not list(temporary.iterdir())
    with pytest.raises(SessionError, match="closed"):
        model.infer({"input": golden(tiny_model())[0]})


def test_the_unpacked_files_go_with_a_model_that_nobody_closed(bundle: Path, temporary: Path):
    model = open_model(bundle, keys=KEYS)
    assert list(temporary.iterdir())
    del model
    gc.collect()
    assert not list(temporary.iterdir())


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"model": b"no model"}, ModelFileError),
        ({"runtime": "unheard-of"}, SessionError),
        ({"inputs": (Tensor("other", "uint8", (None, 1, 28, 28)),)}, ManifestError),
        ({"outputs": (Tensor("logits", "float32", (None, 9)),)}, ManifestError),
        ({"labels": ("only", "two")}, ManifestError),
        ({"target": "aarch64-linux" if platform.machine() == "x86_64" else "x86_64-linux"}, TargetError),
        ({"features": ("no-such-feature",)}, TargetError),
        ({"runtime_minimum": "99.0"}, TargetError),
        ({"edge_runtime_minimum": "99.0"}, TargetError),
        ({"preprocess": {"kind": "image", "size": [9, 9], "channels": 1, "resize": "bilinear"}}, ManifestError),
    ],
)
def test_a_bundle_that_cannot_be_opened_leaves_nothing_behind(
    tmp_path: Path, temporary: Path, changes: dict, refusal: type[EdgeRuntimeError]
):
    with pytest.raises(refusal):
        open_model(make_bundle(tmp_path, **changes), keys=KEYS)
    assert not list(temporary.iterdir())


def test_a_model_with_a_fixed_batch_is_not_said_to_take_any(tmp_path: Path):
    """The manifest may be stricter than the model, and not laxer."""
    strict = make_bundle(tmp_path, inputs=(Tensor("input", "uint8", (1, 1, 28, 28)),))
    open_model(strict, keys=KEYS).close()


def test_a_stranger_is_refused_with_the_way_to_trust_them(bundle: Path, tmp_path: Path, temporary: Path):
    with pytest.raises(UnknownKeyError, match="trusted keys are: strangers"):
        open_model(bundle, keys=[OTHER_KEY.public])
    with pytest.raises(UnknownKeyError, match=f"edge-runtime trust KEY.pub --home {tmp_path}/home") as refused:
        open_model(bundle)
    assert (refused.value.code, refused.value.status) == ("bundle-key-unknown", 403)
    assert not list(temporary.iterdir())
    keys = tmp_path / "home" / "keys"
    keys.mkdir(parents=True)
    (keys / "tests.pub").write_text(KEY.public.line())
    open_model(bundle).close()


def test_any_changed_byte_is_refused(bundle: Path, tmp_path: Path, temporary: Path):
    """Every 307th byte: a bit flipped anywhere in the file is found, whatever it is a bit of."""
    data, changed = bytearray(bundle.read_bytes()), tmp_path / "changed.edge"
    for place in range(0, len(data), 307):
        data[place] ^= 1
        changed.write_bytes(data)
        with pytest.raises(BundleError):
            open_model(changed, keys=KEYS)
        data[place] ^= 1
    assert not list(temporary.iterdir())


@pytest.fixture
def unpacked(bundle: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "unpacked"
    folder.mkdir()
    archive.unpack(bundle, folder, KEYS)
    return folder


def test_the_folder_of_an_unpacked_bundle_is_opened_where_it_is(unpacked: Path, temporary: Path):
    with open_model(unpacked, keys=KEYS) as model:
        assert model.contents.folder == unpacked
        assert not list(temporary.iterdir())
    assert unpacked.is_dir()


def test_the_folder_of_an_unpacked_bundle_is_held_to_the_same(unpacked: Path, tmp_path: Path):
    with pytest.raises(UnknownKeyError):
        open_model(unpacked, keys=[OTHER_KEY.public])
    for name, refusal in {
        "model/model.onnx": ContentError,
        "manifest.json": SignatureError,
        "manifest.sig": SignatureError,
    }.items():
        copy = tmp_path / "copy"
        shutil.copytree(unpacked, copy)
        data = bytearray((copy / name).read_bytes())
        data[-2] ^= 1
        (copy / name).write_bytes(data)
        with pytest.raises(refusal):
            open_model(copy, keys=KEYS)
        (copy / name).unlink()
        with pytest.raises(BundleError):
            open_model(copy, keys=KEYS)
        shutil.rmtree(copy)


def test_a_folder_or_file_of_something_else_is_refused_in_words(tmp_path: Path):
    with pytest.raises(BundleError, match="not the folder of an unpacked bundle"):
        open_model(tmp_path, keys=KEYS)
    with pytest.raises(BundleError, match="No such file"):
        open_model(tmp_path / "none.edge", keys=KEYS)


def test_a_file_that_is_none_or_too_large_is_refused_unread(bundle: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(edge_runtime.limits, "INPUT_BYTES", 1000)
    (tmp_path / "large").write_bytes(b"x" * 1001)
    os.mkfifo(tmp_path / "pipe")
    with open_model(bundle, keys=KEYS) as model:
        with pytest.raises(InputTooLargeError):
            model.prepare(tmp_path / "large")
        for name, words in {"pipe": "not a file", "none": "No such file", ".": "directory|not a file"}.items():
            with pytest.raises(InputError, match=words):
                model.prepare(tmp_path / name)


def test_many_threads_get_the_answers_of_one(bundle: Path):
    inputs, _ = golden(tiny_model())
    with open_model(bundle, keys=KEYS) as model, ThreadPoolExecutor(8) as pool:
        alone = [model.predict(pixels) for pixels in inputs]
        assert list(pool.map(model.predict, list(inputs) * 20)) == alone * 20


def test_other_kinds_of_input(tmp_path: Path):
    inputs, outputs = golden(tiny_model())
    stream = io.BytesIO()
    np.save(stream, inputs[0])
    with open_model(make_bundle(tmp_path, preprocess={"kind": "tensor"}), keys=KEYS) as model:
        for item in (inputs[0], inputs[0].tolist(), str(inputs[0].tolist()), stream.getvalue()):
            assert model.predict(item).index == outputs[0].argmax()
