"""The same file with 8-bit weights is right on hardware with wide sums and wrong on x86 without: what is asserted here
follows from the features of the machine that runs the test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino
import pytest
import torch
from openvino import opset13 as ops
from torch import nn
from torch.nn import functional

from compress.models.normalize import Normalized
from compress.quantize.checks.saturation import Saturation, detect
from compress.quantize.graph import onnxruntime, ranges
from compress.quantize.graph.to_openvino import to_openvino
from compress.targets import onnx as onnx_export
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


class Attention(nn.Module):
    """Four heads over patches, as a vision transformer has them."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.norm = nn.Conv2d(1, 64, 7, stride=7), nn.LayerNorm(64)
        self.query, self.key, self.value = (nn.Linear(64, 64) for _ in range(3))
        self.up, self.down, self.head = nn.Linear(64, 128), nn.Linear(128, 64), nn.Linear(64, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        y = self.norm(x)
        heads = [layer(y).view(-1, 16, 4, 16).transpose(1, 2) for layer in (self.query, self.key, self.value)]
        x = x + functional.scaled_dot_product_attention(*heads).transpose(1, 2).reshape(-1, 16, 64)
        return self.head((x + self.down(functional.gelu(self.up(self.norm(x))))).mean(1))


def test_the_attention_of_a_transformer_can_be_checked(tmp_path):
    # FakeQuantizes as elementwise operators were more than OpenVINO's products could append.
    torch.manual_seed(0)
    model = Normalized(Attention().eval(), [0.5], [0.3])
    inputs = np.random.default_rng(1).integers(0, 256, (40, 1, 28, 28)).astype(np.uint8)
    onnx_export.export(model, inputs[:1], tmp_path / "float.onnx")
    prepared = onnxruntime.prepare(tmp_path / "float.onnx")
    chosen = scheme(load_target("this-machine"), "openvino")
    graph = onnxruntime.build(prepared, ranges.collect(prepared, inputs, "minmax", chosen), chosen)
    onnxruntime.finish(graph, tmp_path / "int8.onnx")
    to_openvino(tmp_path / "int8.onnx", tmp_path / "int8.xml")
    assert not detect(tmp_path / "int8.xml", inputs).saturates


def test_saturation_is_told_with_its_size_and_cure():
    words = Saturation(7.0, 0.21, 0.964, 512, saturates=True).words
    assert "saturate on this machine" in words
    assert "21.00%" in words
    assert "96.4% of 512 inputs" in words
    assert "7-bit weights" in words
