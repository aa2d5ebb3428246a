"""TensorRT's session, without TensorRT and without a GPU: both are stood in for, with memory that is really copied.

What is tested is therefore our side: what is built when, what is kept where, and what is said when something is not
there. That the functions called exist is checked against the real library where it is installed.
"""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from compress import isolated
from edge_runtime import EngineMissingError, InputError, ModelFileError, SessionError, cuda, engine_cache, open_session

PIXELS = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


@pytest.fixture
def model(tmp_path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"a model")
    return path


def kept(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache").iterdir())


def test_a_session_says_what_it_is_and_answers(place, model):
    place()
    with open_session(model, "tensorrt") as session:
        assert (session.runtime, session.version) == ("tensorrt", "10.3.0")
        assert session.inputs[0].shape == (None, 3, 4)
        for batch in (PIXELS, PIXELS[:1], np.repeat(PIXELS, 3, axis=0), PIXELS[:, ::-1]):
            np.testing.assert_array_equal(session.predict(batch), batch * np.float32(2))
            np.testing.assert_array_equal(session.run({"input": batch})["logits"], batch * np.float32(2))


def test_an_engine_is_built_once_and_then_kept(place, model, tmp_path):
    _, first = place()
    open_session(model, "tensorrt").close()
    _, second = place()
    open_session(model, "tensorrt").close()
    assert (first.built, second.built, len(kept(tmp_path))) == (1, 0, 1)


@pytest.mark.parametrize("change", [{"name": b"NVIDIA L4"}, {"version": "11.4.1"}, {"model": b"another"}])
def test_another_gpu_another_tensorrt_and_another_model_get_engines_of_their_own(place, model, tmp_path, change):
    place()
    open_session(model, "tensorrt").close()
    model.write_bytes(change.pop("model", model.read_bytes()))
    _, library = place(**change)
    open_session(model, "tensorrt").close()
    assert (library.built, len(kept(tmp_path))) == (1, 2)


def test_the_models_path_does_not_matter_to_its_engine(place, model, tmp_path):
    place()
    open_session(model, "tensorrt").close()
    _, library = place()
    open_session(model.rename(tmp_path / "moved.onnx"), "tensorrt").close()
    assert library.built == 0


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:-1], lambda data: data[:-1] + b"?"])
def test_a_damaged_engine_is_built_again(place, model, tmp_path, damage):
    place()
    open_session(model, "tensorrt").close()
    [file] = kept(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    _, library = place()
    open_session(model, "tensorrt").close()
    assert library.built == 1
    assert file.read_bytes() == whole


def test_an_engine_that_tensorrt_refuses_is_built_again(place, model, tmp_path):
    place()
    open_session(model, "tensorrt").close()
    [file] = kept(tmp_path)
    engine_cache.write(file, b"of some other library")
    _, library = place()
    open_session(model, "tensorrt").close()
    assert library.built == 1
    assert engine_cache.read(file) == b"engine"


def test_a_write_that_fails_leaves_the_old_engine_and_no_draft(tmp_path, monkeypatch):
    file = tmp_path / "x.engine"
    engine_cache.write(file, b"old")

    def full(handle):
        raise OSError("No space left on device")

    monkeypatch.setattr(engine_cache.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        engine_cache.write(file, b"new")
    assert engine_cache.read(file) == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_cache_that_cannot_be_written_is_told_and_the_session_works(place, model, tmp_path):
    place()
    (tmp_path / "cache").write_text("a file where the folder should be")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            session = open_session(model, "tensorrt")
        except NotADirectoryError:
            pytest.fail("reading a cache that is not there has to count as empty")
    assert ["the engine of model.onnx cannot be kept" in str(warning.message) for warning in told] == [True]
    np.testing.assert_array_equal(session.predict(PIXELS), PIXELS * np.float32(2))


@pytest.mark.parametrize(("typed", "flags"), [(True, 2), (False, 0)])
def test_networks_are_strongly_typed_with_and_without_a_flag_for_it(place, model, typed, flags):
    _, library = place(typed=typed)
    open_session(model, "tensorrt").close()
    assert library.flags == [flags]


def test_a_prebuilt_engine_is_run_as_it_is(place, tmp_path):
    _, library = place()
    (tmp_path / "model.engine").write_bytes(b"engine")
    with open_session(tmp_path / "model.engine") as session:
        np.testing.assert_array_equal(session.predict(PIXELS), PIXELS * np.float32(2))
    assert library.built == 0
    (tmp_path / "model.engine").write_bytes(b"for another GPU")
    with pytest.raises(ModelFileError, match=r"engines fit the GPU and the TensorRT they were built for.*assertion"):
        open_session(tmp_path / "model.engine")


def test_a_model_that_the_parser_refuses_is_told_in_its_words(place, model, tmp_path):
    driver, _ = place()
    model.write_bytes(b"bad")
    with pytest.raises(ModelFileError, match=r"model.onnx: tensorrt 10.3.0 cannot load this model: no importer"):
        open_session(model, "tensorrt")
    assert not (tmp_path / "cache").exists()
    assert driver.contexts == 0


def test_memory_on_the_gpu_is_given_back(place, model):
    driver, _ = place()
    with open_session(model, "tensorrt") as session:
        for count in (1, 2, 1, 2):
            session.predict(PIXELS[:count])
        assert len(driver.memory) == 2
    session.close()
    assert (driver.memory, driver.contexts) == ({}, 0)
    with pytest.raises(SessionError, match="this session is closed"):
        session.predict(PIXELS)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (PIXELS.astype(np.int8), "got int8"),
        (PIXELS[:, :1], r"got uint8 of shape \(2, 1, 4\)"),
        (np.zeros((257, 3, 4), np.uint8), r"free axes may be 1 to 256, got shape \(257, 3, 4\)"),
        (np.zeros((0, 3, 4), np.uint8), r"free axes may be 1 to 256, got shape \(0, 3, 4\)"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(place, model, array, words):
    place()
    with open_session(model, "tensorrt") as session, pytest.raises(InputError, match=words):
        session.predict(array)


def test_a_missing_tensorrt_is_told(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(EngineMissingError, match="tensorrt is not installed: python -m pip install tensorrt"):
        open_session(model, "tensorrt")


def test_a_missing_driver_is_told(place, model, monkeypatch):
    place()

    def missing(path):
        raise OSError(f"{path}: cannot open shared object file")

    monkeypatch.setattr(cuda.ctypes, "CDLL", missing)
    with pytest.raises(EngineMissingError, match=r"no NVIDIA driver on this machine.*libcuda"):
        open_session(model, "tensorrt")


def test_a_driver_without_a_gpu_is_told(place, model):
    place(devices=0)
    with pytest.raises(EngineMissingError, match="finds no GPU 0 that works: cuInit: no CUDA-capable device"):
        open_session(model, "tensorrt")


def test_an_onnx_file_goes_to_tensorrt_only_when_asked(place, model):
    place()
    with pytest.raises(ModelFileError, match="onnxruntime"):
        open_session(model)


@pytest.mark.integration
@pytest.mark.skipif(not isolated.installed("tensorrt"), reason="needs `compress doctor --install tensorrt`")
def test_the_real_library_has_what_is_called(tmp_path):
    names = [
        "__version__, nptype, ILogger.Severity.ERROR, ILogger.Severity.INTERNAL_ERROR, Runtime.deserialize_cuda_engine",
        "Builder.create_network, Builder.create_builder_config, Builder.create_optimization_profile",
        "Builder.build_serialized_network, NetworkDefinitionCreationFlag, OnnxParser.parse_from_file",
        "OnnxParser.num_errors, OnnxParser.get_error, IOptimizationProfile.set_shape, TensorIOMode.INPUT",
        "IBuilderConfig.add_optimization_profile, ICudaEngine.num_io_tensors, ICudaEngine.get_tensor_name",
        "ICudaEngine.get_tensor_mode, ICudaEngine.get_tensor_shape, ICudaEngine.get_tensor_dtype",
        "ICudaEngine.create_execution_context, IExecutionContext.set_input_shape, IExecutionContext.get_tensor_shape",
        "IExecutionContext.set_tensor_address, IExecutionContext.execute_async_v3, TensorIOMode.OUTPUT",
    ]
    program = "import tensorrt_rtx\n" + "\n".join(
        f"tensorrt_rtx.{name}" for name in ", ".join(names).replace(" ", "").split(",")
    )
    python = isolated.folder("tensorrt") / "bin" / "python"
    done = subprocess.run([python, "-I", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
