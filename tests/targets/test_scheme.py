from __future__ import annotations

from dataclasses import asdict

import pytest

from compress.errors import TargetError
from compress.targets.scheme import RUNTIMES, Scheme, scheme
from compress.targets.target import list_targets, load_target

EVERY = [(target, runtime) for target in list_targets() for runtime in target.runtimes if runtime in RUNTIMES]


@pytest.fixture
def avx2():
    return load_target("x86-avx2")


def with_features(name: str, *features: str):
    return load_target(name).model_copy(update={"features": features, "lacks": ()})


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_x86_without_vnni_gets_seven_bit_weights(avx2, runtime):
    chosen = scheme(avx2, runtime)
    assert (chosen.activations, chosen.weight_bits, chosen.saturates) == ("u8", 7, False)
    assert "16 bits" in chosen.words


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("feature", ["avx512_vnni", "avx_vnni", "amx_int8"])
def test_x86_with_wide_sums_gets_eight_bit_weights(runtime, feature):
    chosen = scheme(with_features("x86-avx2", "avx2", feature), runtime)
    assert (chosen.activations, chosen.weight_bits, chosen.saturates) == ("u8", 8, False)


def test_arm_gets_signed_activations_with_a_zero_point_of_their_own():
    chosen = scheme(load_target("raspberry-pi-4"), "onnxruntime")
    assert (chosen.activations, chosen.weight_bits, chosen.symmetric_activations) == ("s8", 8, False)


def test_tensorrt_gets_symmetric_ranges_and_float_biases():
    chosen = scheme(load_target("jetson-orin-nano"), "tensorrt")
    assert (chosen.activations, chosen.symmetric_activations, chosen.quantize_bias) == ("s8", True, False)
    assert chosen.per_channel


def test_openvino_is_symmetric_on_a_gpu_and_asymmetric_on_x86(avx2):
    assert scheme(load_target("intel-igpu"), "openvino").symmetric_activations
    assert not scheme(avx2, "openvino").symmetric_activations


def test_equal_names_within_a_runtime_mean_equal_schemes():
    by_name = {}
    for target, runtime in EVERY:
        chosen = scheme(target, runtime)
        assert by_name.setdefault((runtime, chosen.name), chosen) == chosen


@pytest.mark.parametrize(("target", "runtime"), EVERY, ids=lambda value: getattr(value, "name", value))
def test_no_targets_own_scheme_saturates_and_each_survives_json(target, runtime):
    chosen = scheme(target, runtime)
    assert not chosen.saturates
    assert Scheme(**asdict(chosen)) == chosen


@pytest.mark.parametrize("runtime", ["aotinductor", "aotinductor-graph", "onnxruntime-cuda"])
def test_a_runtime_of_floats_alone_has_none_and_says_which_have(runtime):
    with pytest.raises(TargetError, match=f"{runtime} computes in floats alone; .* are onnxruntime, openvino, "):
        scheme(load_target("nvidia-gpu"), runtime)


@pytest.mark.parametrize("activations", [None, "u8", "s8"])
def test_eight_bit_weights_forced_upon_avx2_are_known_to_saturate(avx2, activations):
    forced = scheme(avx2, "onnxruntime", activations=activations, weight_bits=8)
    assert forced.saturates
    assert forced.name.endswith("-saturating")
    assert "against the target's own scheme (u8s7)" in forced.words


def test_eight_bit_weights_forced_where_sums_are_wide_do_not_saturate():
    assert not scheme(load_target("x86-vnni"), "onnxruntime", activations="s8").saturates
    assert not scheme(load_target("raspberry-pi-4"), "onnxruntime", activations="u8").saturates


def test_forcing_a_targets_own_scheme_changes_nothing(avx2):
    assert scheme(avx2, "onnxruntime", activations="u8", weight_bits=7) == scheme(avx2, "onnxruntime")


def test_a_runtime_that_the_target_lacks_is_refused(avx2):
    with pytest.raises(TargetError, match="'x86-avx2' has no runtime 'open-vino'; did you mean 'openvino'"):
        scheme(avx2, "open-vino")


def test_an_architecture_nothing_is_known_about_is_refused(avx2):
    with pytest.raises(TargetError, match="no int8 scheme is known for onnxruntime on 'x86-avx2' \\(riscv64\\)"):
        scheme(avx2.model_copy(update={"arch": "riscv64"}), "onnxruntime")
