"""Wheels for another machine, from an index that is a folder: no network."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import edge_runtime
from compress.bench.devices import wheels
from compress.bench.devices.survey import Survey
from compress.errors import WheelError
from edge_runtime.probes.plan import Plan, PlanModel

BOARD = Survey("aarch64", "python3", (3, 11, 2), (2, 36), "Debian", "/x")


def publish(index: Path, name: str, version: str, tag: str, requires: str = "") -> None:
    about = f"{name}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {requires}"] if requires else []
    with zipfile.ZipFile(index / f"{name}-{version}-{tag}.whl", "w") as archive:
        archive.writestr(f"{about}/METADATA", "\n".join(lines) + "\n")
        archive.writestr(f"{about}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n")
        archive.writestr(f"{about}/RECORD", "")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All that pip finds."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setattr(wheels, "_version", {"numpy": "2.1.0", "onnxruntime": "1.30.0"}.get)
    publish(index := folder, "numpy", "2.1.0", "cp311-cp311-manylinux_2_28_aarch64")
    return index


def names(found: list[Path]) -> list[str]:
    return [path.name.partition("-cp")[0] for path in found]


def test_engines_follow_from_the_models():
    paths = ("a.onnx", "b.tflite", "c.engine", "d.onnx", "model.bin")
    models = [PlanModel(path, path) for path in paths] + [PlanModel("ir", "x.anything", runtime="openvino")]
    assert wheels.engines(Plan(tuple(models))) == ("litert", "onnxruntime", "openvino")
    assert wheels.engines(Plan((PlanModel("x", "a.onnx", runtime="tensorrt"),))) == ()


def test_the_version_that_is_here_is_preferred_with_what_it_needs(index: Path, tmp_path: Path):
    publish(index, "onnxruntime", "1.30.0", "cp311-cp311-manylinux_2_28_aarch64", "flat")
    publish(index, "onnxruntime", "1.31.0", "cp311-cp311-manylinux_2_28_aarch64")
    publish(index, "onnxruntime", "1.30.0", "cp311-cp311-manylinux_2_28_x86_64")
    publish(index, "flat", "1.0", "py3-none-any")
    found = wheels.published(BOARD, ["onnxruntime"], tmp_path / "cache")
    assert names(found) == ["flat-1.0-py3-none-any.whl", "numpy-2.1.0", "onnxruntime-1.30.0"]
    assert all("x86_64" not in path.name for path in found)
    for path in index.glob("*"):
        path.unlink()
    assert wheels.published(BOARD, ["onnxruntime"], tmp_path / "cache") == found, "they are not fetched twice"


def test_another_version_where_that_one_is_not_published(index: Path, tmp_path: Path):
    publish(index, "onnxruntime", "1.23.0", "cp310-cp310-manylinux_2_28_aarch64")
    publish(index, "numpy", "1.26.0", "cp310-cp310-manylinux2014_aarch64")
    old = Survey("aarch64", "python3", (3, 10, 4), (2, 35), "Ubuntu", "/x")
    assert names(wheels.published(old, ["onnxruntime"], tmp_path / "cache")) == ["numpy-1.26.0", "onnxruntime-1.23.0"]


def test_a_wheel_for_a_newer_c_library_is_no_use(index: Path, tmp_path: Path):
    publish(index, "onnxruntime", "1.30.0", "cp311-cp311-manylinux_2_39_aarch64")
    with pytest.raises(WheelError, match=r"no wheel of onnxruntime\S* is published for Python 3.11 on aarch64.*2\.36"):
        wheels.published(BOARD, ["onnxruntime"], tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*"))


def test_no_wheels_for_another_c_library(tmp_path: Path):
    with pytest.raises(WheelError, match="glibc only"):
        wheels.published(Survey("aarch64", "python3", (3, 11, 2), None, "Alpine", "/x"), [], tmp_path / "cache")


def test_our_own_wheel_is_the_same_each_time_and_can_be_installed(tmp_path: Path):
    first, second = wheels.own(tmp_path / "1"), wheels.own(tmp_path / "2")
    assert first.read_bytes() == second.read_bytes()
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    subprocess.run([*pip, str(first)], check=True)
    version = "import edge_runtime; print(edge_runtime.__version__, edge_runtime.__file__)"
    said = subprocess.run(
        [sys.executable, "-c", version], env={"PYTHONPATH": str(site)}, capture_output=True, text=True, check=True
    ).stdout.split()
    assert said == [edge_runtime.__version__, str(site / "edge_runtime" / "__init__.py")]
