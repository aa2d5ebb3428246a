from __future__ import annotations

from pathlib import Path

import pytest

from compress.errors import QuantizationError
from compress.quantize import quantize
from compress.quantize.checks import saturation
from compress.quantize.checks.finished import examine
from edge_runtime import ModelFileError, machine

pytestmark = pytest.mark.integration


@pytest.fixture
def made(job, perceptron):
    def make(runtime: str, **settings: object):
        task = job(perceptron, runtime, to="int8", samples=64, **settings)
        quantize(task)
        return task

    return make


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_static_file_is_told_in_words_and_figures(made, runtime):
    facts, story = examine(made(runtime))
    assert set(facts) == {"coverage", "saturation"}
    assert "3 of 3 convolutions and matrix products run in int8" in story
    assert not facts["saturation"]["saturates"]


def test_a_check_that_cannot_be_made_is_a_line_and_not_the_end(made, monkeypatch):
    def fail(path: Path, inputs: object) -> None:
        raise ModelFileError("literal.xml: cannot be loaded\nwith much more")

    monkeypatch.setattr(saturation, "detect", fail)
    facts, story = examine(made("openvino"))
    assert set(facts) == {"coverage"}
    assert story[-1] == "could not be checked for saturation: literal.xml: cannot be loaded"


def test_the_warning_about_dynamic_int8_in_openvino_says_why(made):
    task = made("openvino", method="dynamic")
    examine(task)
    if not {"avx512_vnni", "avx_vnni", "amx_int8"} & set(machine.detect().features):
        [warned] = task.say.__self__
        assert warned.startswith(
            "0 of 3 convolutions and matrix products run in int8; still float: 3 FullyConnected (3"
        )
        assert "CPUs with VNNI or AMX, and this CPU has neither" in warned


def test_a_file_that_is_none_is_an_error(made):
    task = made("onnxruntime")
    task.out.write_bytes(b"nothing")
    with pytest.raises(QuantizationError, match="no ONNX file"):
        examine(task)
