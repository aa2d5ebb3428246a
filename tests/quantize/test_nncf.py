from __future__ import annotations

import numpy as np
import openvino
import pytest

from compress.quantize import quantize
from compress.quantize.job import Job
from compress.recipe import Quantize
from compress.targets.scheme import scheme
from compress.targets.target import load_target

pytestmark = pytest.mark.integration


def weights(path) -> list[np.ndarray]:
    constants = (node for node in openvino.Core().read_model(path).get_ops() if node.get_type_name() == "Constant")
    return [node.data for node in constants if node.get_element_type() == openvino.Type.i8]


def zero_based(path) -> list[bool]:
    """Whether the range of each activation is symmetric or starts at zero."""
    quantizers = (n for n in openvino.Core().read_model(path).get_ops() if n.get_type_name() == "FakeQuantize")
    ends = [[float(node.input_value(i).get_node().data.min()) for i in (1, 2)] for node in quantizers]
    return [low == 0 or abs(low / high + 128 / 127) < 1e-3 for low, high in ends]


@pytest.mark.parametrize("calibration", ["minmax", "entropy", "percentile"])
def test_the_int8_model_decides_like_the_float_one(quantized, converted, logits, calibration):
    expected, found = logits(converted), logits(quantized("x86-avx2", "openvino", calibration, method="nncf"))
    assert (found.argmax(1) == expected.argmax(1)).mean() > 0.95
    assert np.sqrt(np.mean((found - expected) ** 2)) < 0.15 * expected.std()


@pytest.mark.parametrize(("target", "largest"), [("x86-avx2", 64), ("x86-vnni", 127)])
def test_weights_are_stored_as_int8_in_the_range_of_the_scheme(quantized, target, largest):
    found = weights(quantized(target, "openvino", method="nncf"))
    assert len(found) == 8
    assert max(np.abs(array.astype(int)).max() for array in found) in (largest, largest + 1)


def test_the_scheme_decides_whether_ranges_may_be_asymmetric(quantized):
    assert not all(zero_based(quantized("x86-avx2", "openvino", method="nncf")))
    assert all(zero_based(quantized("intel-igpu", "openvino", method="nncf")))


def test_the_same_samples_give_the_same_files_in_silence(quantized, exported, converted, small_data, tmp_path, capfd):
    chosen = scheme(load_target("x86-avx2"), "openvino")
    settings = Quantize(method="nncf", samples=40)
    quantize(Job("openvino", exported, converted, tmp_path / "model.xml", chosen, settings, small_data))
    assert capfd.readouterr() == ("", "")
    first = quantized("x86-avx2", "openvino", samples=40, method="nncf")
    assert (tmp_path / "model.bin").read_bytes() == first.with_suffix(".bin").read_bytes()
    more = quantized("x86-avx2", "openvino", method="nncf")
    assert first.with_suffix(".bin").read_bytes() != more.with_suffix(".bin").read_bytes()
