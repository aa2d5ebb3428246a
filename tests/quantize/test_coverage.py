from __future__ import annotations

import pytest

from compress.quantize.coverage import Coverage, int8_coverage

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("target", ["x86-avx2", "x86-vnni", "raspberry-pi-5"])
def test_every_convolution_and_the_head_run_in_int8(quantized, target):
    found = int8_coverage(quantized(target, "onnxruntime"))
    assert found == Coverage({"QLinearConv": 7, "QGemm": 1}, {}, conversions=1)
    assert found.complete
    assert found.words == "8 of 8 convolutions and matrix products run in int8"


def test_a_float_file_has_no_int8(exported):
    found = int8_coverage(exported)
    assert (found.int8, sum(found.floating.values()), found.complete) == ({}, 8, False)
    assert found.words.startswith("0 of 8 convolutions and matrix products run in int8; still float: ")


def test_openvino_runs_every_convolution_in_int8(quantized, converted):
    found = int8_coverage(quantized("x86-avx2", "openvino"))
    assert (found.int8, found.floating) == ({"Convolution": 7, "FullyConnected": 1}, {})
    assert not int8_coverage(converted).int8
