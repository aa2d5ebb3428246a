"""`compress targets` and `compress doctor`: the commands that look at hardware."""

from __future__ import annotations

import importlib.metadata
import json

from edge_runtime.machine import detect


def test_targets_are_listed_one_a_line(call):
    lines = call("targets").stdout.splitlines()
    assert {"this-machine", "raspberry-pi-4", "x86-avx2"} <= {line.split()[0] for line in lines}


def test_one_target_is_described_with_its_source_and_whether_it_is_measured_here(call):
    text = call("targets", "raspberry-pi-4").stdout
    assert "aarch64" in text
    assert "measurable here   no: " in text


def test_targets_as_json(call):
    names = [target["name"] for target in json.loads(call("targets", "--json").stdout)]
    assert len(names) == len(set(names)) > 2
    assert json.loads(call("targets", "raspberry-pi-4", "--json").stdout)["name"] == "raspberry-pi-4"


def test_unknown_target_is_an_error_with_the_known_ones(call):
    result = call("targets", "raspbery-pi-4")
    assert result.exit_code in (1, 2)
    assert "raspberry-pi-4" in result.stderr


def test_doctor_tells_machine_packages_data_and_targets(call, tmp_path):
    found = json.loads(call("doctor", "--json", "--store", tmp_path / "a" / "b").stdout)
    here = detect()
    assert list(found) == ["machine", "packages", "tools", "data", "targets"]
    assert here.cpu in found["machine"]["processor"]
    assert str(tmp_path) in found["machine"]["store"]
    assert found["packages"]["onnxruntime"] == importlib.metadata.version("onnxruntime")
    assert found["targets"]["this-machine"] == "measurable here"
    assert not (tmp_path / "a").exists()


def test_doctor_installs_known_tools_only(call):
    result = call("doctor", "--install", "litetr")
    assert result.exit_code == 1
    assert "there is no tool environment 'litetr'" in result.stderr
    assert "'litert'" in result.stderr


def test_doctor_says_how_to_get_what_is_missing(call, monkeypatch, tmp_path):
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", absent)
    monkeypatch.setenv("FASHION_MNIST", str(tmp_path))
    monkeypatch.setenv("COMPRESS_ENVIRONMENTS", str(tmp_path))
    text = call("doctor").stdout
    assert "missing; int8 for openvino: pip install nncf" in text
    assert "conversion of PyTorch networks to .tflite: compress doctor --install litert" in text
    assert "the data of recipes/fashion-mnist.yaml: apt-get install dataset-fashion-mnist" in text
