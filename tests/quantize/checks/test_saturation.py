"""The same file with 8-bit weights is right on hardware with wide sums and wrong on x86 without: what is asserted here
follows from the features of the machine that runs the test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino
import pytest
from openvino import opset13 as ops

from compress.quantize.checks.saturation import Saturation, detect
from compress.targets.scheme import scheme
from compress.targets.target import load_target
from edge_runtime.machine import detect as detect_machine

pytestmark = pytest.mark.integration
MACHINE = detect_machine()
NARROW = MACHINE.arch == "x86_64" and not {"avx512_vnni", "avx_vnni", "amx_int8"} & set(MACHINE.features)


def test_the_scheme_chosen_for_this_machine_does_not_saturate(quantized, small_data):
    found = detect(quantized("this-machine", "onnxruntime"), small_data.test.inputs)
    assert not found.saturates
    assert found.argmax_agreement > 0.99
    assert found.words.startswith("no saturation: ")
    assert found.words.endswith("no pair of weights can overflow") == NARROW


def test_full_range_weights_saturate_exactly_where_sums_are_narrow(quantized, small_data):
    forced = {"activations": "u8", "weight_bits": 8}
    found = detect(quantized("x86-avx2", "onnxruntime", **forced), small_data.test.inputs)
    assert found.saturates == NARROW
    assert found.inputs == len(small_data.test)


def test_the_forced_scheme_foretells_what_is_found_here(quantized, small_data):
    foretold = scheme(load_target("this-machine"), "onnxruntime", activations="u8", weight_bits=8).saturates
    found = detect(quantized("this-machine", "onnxruntime", activations="u8", weight_bits=8), small_data.test.inputs)
    assert found.saturates == foretold


def product(path: Path, largest: int) -> Path:
    """An OpenVINO IR: a matrix product whose weights reach ``largest``, between FakeQuantizes of 256 levels."""
    weights = np.random.default_rng(0).integers(-largest, largest + 1, (10, 64)).astype(np.int8)
    low, high, step = (ops.constant(np.float32(value)) for value in (0, 25.5, 0.01))
    inputs = ops.parameter([-1, 64], np.float32, name="input")
    kernel = ops.multiply(ops.convert(ops.constant(weights), np.float32), step)
    logits = ops.matmul(ops.fake_quantize(inputs, low, high, low, high, 256), kernel, False, True)
    openvino.save_model(openvino.Model([logits], [inputs]), path, compress_to_fp16=False)
    return path


def test_openvino_files_with_full_range_weights_saturate_exactly_where_sums_are_narrow(tmp_path):
    inputs = np.random.default_rng(1).uniform(0, 25.5, (200, 64)).astype(np.float32)
    found = detect(product(tmp_path / "full.xml", 127), inputs)
    assert found.saturates == NARROW
    assert (found.relative_rms > 0.05) == NARROW


def test_openvino_files_with_7_bit_weights_do_not_saturate(tmp_path):
    inputs = np.random.default_rng(1).uniform(0, 25.5, (200, 64)).astype(np.float32)
    found = detect(product(tmp_path / "half.xml", 64), inputs)
    assert not found.saturates
    assert found.relative_rms < 1e-4


def test_the_openvino_scheme_chosen_for_this_machine_does_not_saturate(quantized, small_data):
    found = detect(quantized("this-machine", "openvino"), small_data.test.inputs)
    assert not found.saturates
    assert found.argmax_agreement > 0.99


def test_saturation_is_told_with_its_size_and_cure():
    words = Saturation(7.0, 0.21, 0.964, 512, saturates=True).words
    assert "saturate on this machine" in words
    assert "21.00%" in words
    assert "96.4% of 512 inputs" in words
    assert "7-bit weights" in words
