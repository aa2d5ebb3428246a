"""From a path to a session, and all the ways that fails."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from edge_runtime import EngineMissingError, ModelFileError, SessionError, open_session
from edge_runtime.sessions import registry


@pytest.fixture
def no_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("onnxruntime", "openvino"):
        monkeypatch.setitem(sys.modules, name, None)


def test_the_runtimes_are_the_modules():
    assert set(registry.runtimes()) == {"litert", "onnxruntime", "onnxruntime-cuda", "openvino", "tensorrt"}


@pytest.mark.integration
@pytest.mark.parametrize(
    ("name", "runtime", "chosen"),
    [
        ("pixels.onnx", None, "onnxruntime"),
        ("pixels.xml", None, "openvino"),
        ("pixels.onnx", "openvino", "openvino"),
    ],
)
def test_the_suffix_chooses_unless_a_runtime_is_named(models: Path, name: str, runtime: str | None, chosen: str):
    with open_session(str(models / name), runtime) as session:
        assert session.runtime == chosen


@pytest.mark.parametrize(("name", "engine"), [("pixels.onnx", "onnxruntime"), ("pixels.xml", "openvino")])
def test_a_missing_engine_comes_with_the_command_that_installs_it(models, no_engines, name, engine):
    with pytest.raises(EngineMissingError, match=f"{engine} is not installed: python -m pip install {engine}"):
        open_session(models / name)


def test_an_engine_without_a_part_of_its_own_names_the_part(monkeypatch, tmp_path, models):
    (tmp_path / "onnxruntime.py").write_text("import a_part_that_is_not_there")
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EngineMissingError, match="onnxruntime is installed without a_part_that_is_not_there"):
        open_session(models / "pixels.onnx")


def test_an_engine_that_does_not_load_here_says_why(monkeypatch, tmp_path, models):
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('libgomp.so.1: cannot open shared object file')")
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EngineMissingError, match="does not load on this machine: libgomp"):
        open_session(models / "pixels.onnx")


def test_an_unknown_runtime_names_those_there_are(models):
    with pytest.raises(
        SessionError, match="no runtime 'caffe'; there are litert, onnxruntime, onnxruntime-cuda, openvino"
    ):
        open_session(models / "pixels.onnx", "caffe")


def test_an_unknown_suffix_names_those_there_are():
    with pytest.raises(
        ModelFileError, match=r"no runtime reads '.pb' files; there are .tflite \(litert\), .onnx \(onnxruntime\)"
    ):
        open_session("model.pb")


def test_a_runtime_refuses_another_ones_file(models):
    with pytest.raises(ModelFileError, match=r"onnxruntime reads \.onnx files"):
        open_session(models / "pixels.xml", "onnxruntime")


@pytest.mark.parametrize("name", ["gone.onnx", "gone.xml"])
def test_a_missing_file_is_named(tmp_path, name):
    with pytest.raises(ModelFileError, match=f"{name}: there is no such file"):
        open_session(tmp_path / name)


def test_a_folder_is_not_a_model(tmp_path):
    (tmp_path / "model.onnx").mkdir()
    with pytest.raises(ModelFileError, match="is not a file"):
        open_session(tmp_path / "model.onnx")


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", True])
def test_threads_must_be_a_positive_whole_number(models, threads):
    with pytest.raises(SessionError, match="threads must be a whole number of at least 1"):
        open_session(models / "pixels.onnx", threads=threads)


@pytest.mark.integration
@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"x" * 500])
def test_a_damaged_file_is_named_with_the_engines_words(models, tmp_path, suffix, damage):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(damage((models / f"pixels{suffix}").read_bytes()))
    shutil.copy(models / "pixels.bin", tmp_path / "model.bin")
    with pytest.raises(ModelFileError, match=rf"model{suffix}: \w+ [\d.]+ cannot load this model"):
        open_session(path)


@pytest.mark.integration
def test_openvino_weights_must_be_whole(models, tmp_path):
    shutil.copy(models / "pixels.xml", tmp_path / "model.xml")
    with pytest.raises(ModelFileError, match=r"its weights model\.bin are not beside it"):
        open_session(tmp_path / "model.xml")
    (tmp_path / "model.bin").write_bytes((models / "pixels.bin").read_bytes()[:100])
    with pytest.raises(ModelFileError, match="cannot load this model"):
        open_session(tmp_path / "model.xml")


def test_a_runtime_of_another_distribution_is_found_by_its_entry_point(monkeypatch, tmp_path):
    (tmp_path / "other.py").write_text(
        "from edge_runtime import Session\n"
        "class OtherSession(Session):\n"
        "    runtime, suffixes = 'other', ('.oth',)\n"
        "    def __init__(self, path, threads, *, optimize): super().__init__(path, threads)\n"
        "    def run(self, inputs): return inputs\n"
        "    def predict(self, array): return array\n"
    )
    info = tmp_path / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[edge_runtime.sessions]\nother = other:OtherSession\n")
    (tmp_path / "model.oth").touch()
    monkeypatch.syspath_prepend(tmp_path)
    registry.runtimes.cache_clear()
    try:
        with open_session(tmp_path / "model.oth", threads=3) as session:
            assert (session.runtime, session.threads, session.predict(7)) == ("other", 3, 7)
    finally:
        registry.runtimes.cache_clear()
