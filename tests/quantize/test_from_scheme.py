from __future__ import annotations

from dataclasses import replace

import nncf
import pytest
import torch
from nncf.quantization.advanced_parameters import OverflowFix

from compress.errors import QuantizationError
from compress.quantize import from_scheme
from compress.targets.scheme import Scheme, scheme
from compress.targets.target import load_target


def of(target: str, runtime: str = "onnxruntime", **forced: object) -> Scheme:
    return scheme(load_target(target), runtime, **forced)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("weight_bits", 4, "weight_bits = 4; supported: 7 or 8"),
        ("activations", "u16", "activations = u16; supported: u8 or s8"),
        ("axis", 1, "axis = 1; supported: 0"),
    ],
)
@pytest.mark.parametrize(
    "build",
    [from_scheme.torchao_quantizer, from_scheme.nncf_parameters, lambda chosen: from_scheme.fx_qconfig(chosen, None)],
)
def test_a_scheme_that_8_bit_arithmetic_does_not_have_is_refused(build, field, value, message):
    with pytest.raises(QuantizationError, match=message):
        build(replace(of("x86-avx2"), **{field: value}))


@pytest.mark.parametrize(("bits", "limits"), [(7, (-63, 63)), (8, (-127, 127))])
def test_weights_use_the_same_range_on_both_sides_of_zero(bits, limits):
    assert from_scheme.weight_range(replace(of("x86-vnni"), weight_bits=bits)) == limits


@pytest.mark.parametrize(
    ("target", "runtime", "symmetric"), [("x86-avx2", "onnxruntime", False), ("nvidia-gpu", "tensorrt", True)]
)
def test_onnx_runtime_is_told_about_zero_points_and_biases(target, runtime, symmetric):
    options = from_scheme.ort_options(of(target, runtime))
    assert options["ActivationSymmetric"] is symmetric
    assert options["QuantizeBias"] is not symmetric


def test_nncf_is_told_about_zero_points_and_overflow():
    narrow = from_scheme.nncf_parameters(of("x86-avx2", "openvino"))
    assert narrow == {"preset": nncf.QuantizationPreset.MIXED, "overflow_fix": OverflowFix.ENABLE}
    gpu = from_scheme.nncf_parameters(of("intel-igpu", "openvino"))
    assert gpu == {"preset": nncf.QuantizationPreset.PERFORMANCE, "overflow_fix": OverflowFix.DISABLE}


@pytest.mark.parametrize("calibration", [None, "minmax", "mse"])
@pytest.mark.parametrize(
    ("target", "runtime", "dtype", "qscheme"),
    [
        ("x86-avx2", "onnxruntime", torch.quint8, torch.per_tensor_affine),
        ("raspberry-pi-5", "onnxruntime", torch.qint8, torch.per_tensor_affine),
        ("nvidia-gpu", "tensorrt", torch.qint8, torch.per_tensor_symmetric),
    ],
)
def test_fx_rounds_activations_as_the_scheme_says(target, runtime, dtype, qscheme, calibration):
    mapping, _ = from_scheme.fx_qconfig(of(target, runtime), calibration)
    observer = mapping.global_qconfig.activation()
    assert (observer.dtype, observer.qscheme) == (dtype, qscheme)
    weights = mapping.global_qconfig.weight()
    assert weights.quant_max == from_scheme.weight_range(of(target, runtime))[1]


def test_one_scale_a_tensor_where_the_scheme_says_so():
    coarse = replace(of("x86-avx2"), per_channel=False)
    values = torch.randn(4, 3, 3, 3) * torch.tensor([1.0, 10, 100, 1000]).reshape(4, 1, 1, 1)
    weights = from_scheme.fx_qconfig(coarse, None)[0].global_qconfig.weight()
    weights(values)
    assert weights.scale.shape == (1,)
