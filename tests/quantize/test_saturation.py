"""The same file with 8-bit weights is right on hardware with wide sums and wrong on x86 without: what is asserted here
follows from the features of the machine that runs the test."""

from __future__ import annotations

import pytest

from compress.quantize.saturation import Saturation, detect
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


def test_full_range_weights_saturate_exactly_where_sums_are_narrow(quantized, small_data):
    forced = {"activations": "u8", "weight_bits": 8}
    found = detect(quantized("x86-avx2", "onnxruntime", **forced), small_data.test.inputs)
    assert found.saturates == NARROW
    assert found.inputs == len(small_data.test)


def test_the_forced_scheme_foretells_what_is_found_here(quantized, small_data):
    foretold = scheme(load_target("this-machine"), "onnxruntime", activations="u8", weight_bits=8).saturates
    found = detect(quantized("this-machine", "onnxruntime", activations="u8", weight_bits=8), small_data.test.inputs)
    assert found.saturates == foretold


def test_saturation_is_told_with_its_size_and_cure():
    words = Saturation(7.0, 0.21, 0.964, 512, saturates=True).words
    assert "saturate on this machine" in words
    assert "21.00%" in words
    assert "96.4% of 512 inputs" in words
    assert "7-bit weights" in words
