"""What is particular to LiteRT's session. The files are small(), as in targets/test_litert.py, and its int8 version."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from edge_runtime import EngineMissingError, InputError, ModelFileError, SessionError, open_session

CONVERTED = Path(__file__).parents[2] / "targets" / "converted.tflite"
"""For a batch of one, as the converter leaves it."""

PIXELS = np.random.default_rng(1).integers(0, 256, (6, 1, 12, 12), np.uint8)

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def free(tmp_path_factory) -> Path:
    """The same with a free batch axis."""
    pytest.importorskip("ai_edge_litert", reason="an extra: pip install 'edge-runtime[litert]'")
    from compress.targets import litert_graph

    path = tmp_path_factory.mktemp("free") / "model.tflite"
    model = litert_graph.read(CONVERTED.read_bytes())
    litert_graph.tidy(model, {})
    litert_graph.write(model, path)
    return path


def test_a_session_says_what_it_is(free):
    with open_session(free, threads=2) as session:
        assert (session.runtime, session.threads, session.version.count(".")) == ("litert", 2, 2)
        assert [(spec.name, spec.dtype, spec.shape) for spec in session.inputs] == [
            ("input", "uint8", (None, 1, 12, 12))
        ]
        assert [(spec.name, spec.dtype, spec.shape) for spec in session.outputs] == [("logits", "float32", (None, 4))]


def test_the_batch_may_change_from_call_to_call(free):
    with open_session(free) as session:
        whole = session.predict(PIXELS)
        for size in (1, 4, 2, 6, 1):
            np.testing.assert_allclose(session.predict(PIXELS[:size]), whole[:size], rtol=1e-5, atol=1e-5)


def test_reference_kernels_agree_with_the_fast_ones(free):
    with open_session(free) as fast, open_session(free, optimize=False) as plain:
        np.testing.assert_allclose(fast.predict(PIXELS), plain.predict(PIXELS), rtol=1e-4, atol=1e-5)


def test_run_and_predict_agree_and_results_are_the_callers(free):
    with open_session(free) as session:
        first = session.predict(PIXELS[:1])
        kept = first.copy()
        outputs = session.run({"input": PIXELS[1:2]})
        assert list(outputs) == ["logits"]
        np.testing.assert_array_equal(first, kept)
        np.testing.assert_array_equal(outputs["logits"], session.predict(PIXELS[1:2]))
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (PIXELS.astype(np.float32), "got float32"),
        (PIXELS[:, :, :5], r"got uint8 of shape \(6, 1, 5, 12\)"),
        (PIXELS[0], r"got uint8 of shape \(1, 12, 12\)"),
        ([1, 2], "got list"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_and_the_session_goes_on(free, array, words):
    with open_session(free) as session:
        expected = session.predict(PIXELS)
        with pytest.raises(InputError, match=words):
            session.predict(array)
        np.testing.assert_array_equal(session.predict(PIXELS), expected)


def test_any_memory_layout_is_read_rightly(free):
    strided = np.repeat(PIXELS, 2, axis=0)[::2]
    with open_session(free) as session:
        np.testing.assert_array_equal(session.predict(strided), session.predict(PIXELS))


def test_a_batch_that_the_file_fixes_stays_fixed(free):
    with open_session(CONVERTED) as session:
        assert session.inputs[0].shape == (1, 1, 12, 12)
        with pytest.raises(InputError, match=r"shape \(1, 1, 12, 12\), got uint8 of shape \(6"):
            session.predict(PIXELS)
        assert session.predict(PIXELS[:1]).shape == (1, 4)


def test_calls_from_several_threads_do_not_mix(free):
    with open_session(free) as session:
        expected = [session.predict(PIXELS[: size + 1]) for size in range(4)]
        wrong = []

        def work(size: int) -> None:
            wrong.extend(
                1 for _ in range(20) if not np.allclose(session.predict(PIXELS[: size + 1]), expected[size], atol=1e-5)
            )

        threads = [threading.Thread(target=work, args=(size,)) for size in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []


def test_a_closed_session_says_so(free):
    session = open_session(free)
    session.close()
    session.close()
    with pytest.raises(SessionError, match="this session is closed"):
        session.predict(PIXELS)


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:200], lambda data: b"x" * 500])
def test_a_damaged_file_is_named(free, tmp_path, damage):
    path = tmp_path / "model.tflite"
    path.write_bytes(damage(free.read_bytes()))
    with pytest.raises(ModelFileError, match=r"model.tflite: litert [\d.]+ cannot load this model"):
        open_session(path)


def test_a_missing_engine_comes_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(EngineMissingError, match="ai_edge_litert is not installed: python -m pip install"):
        open_session(CONVERTED)
