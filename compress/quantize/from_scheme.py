"""The one place that turns a target's scheme into what each library wants to be told.

Every function imports its library itself: none is needed to make a file for another runtime.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from compress.errors import QuantizationError

if TYPE_CHECKING:
    from torch.ao.quantization import QConfigMapping
    from torch.ao.quantization.backend_config import BackendConfig

    from compress.quantize.training.torchao_quantizer import SchemeQuantizer
    from compress.targets.scheme import Scheme

MOMENTUM = 0.01
"""How fast ranges of activations follow the batches of training (Jacob et al., 2018, arXiv:1712.05877, section 3.1)."""


def checked(scheme: Scheme) -> Scheme:
    """``scheme``, or :class:`QuantizationError` if it is none that 8-bit arithmetic has."""
    allowed = {"activations": ("u8", "s8"), "weight_bits": (7, 8), "axis": (0,)}
    for field, values in allowed.items():
        if (found := getattr(scheme, field)) not in values:
            choices = " or ".join(map(str, values))
            raise QuantizationError(f"the scheme of {scheme.runtime} has {field} = {found}; supported: {choices}")
    return scheme


def weight_range(scheme: Scheme) -> tuple[int, int]:
    """Smallest and largest integer of a weight.

    The same distance from zero, so that the largest weight of a channel is neither cut off nor, in ONNX, which knows
    no 7-bit type, rounded to an integer that the simulation does not have.
    """
    largest = 2 ** (scheme.weight_bits - 1) - 1
    return -largest, largest


def torchao_quantizer(scheme: Scheme) -> SchemeQuantizer:
    """torchao's, for training with rounding simulated."""
    import torch
    from torchao.quantization.pt2e import (
        FakeQuantize,
        MovingAverageMinMaxObserver,
        MovingAveragePerChannelMinMaxObserver,
    )
    from torchao.quantization.pt2e.quantizer import QuantizationSpec

    from compress.quantize.training.torchao_quantizer import SchemeQuantizer

    checked(scheme)
    dtype = {"u8": torch.uint8, "s8": torch.int8}[scheme.activations]
    limits = torch.iinfo(dtype)
    activations = QuantizationSpec(
        dtype,
        FakeQuantize.with_args(observer=MovingAverageMinMaxObserver, averaging_constant=MOMENTUM),
        limits.min,
        limits.max,
        torch.per_tensor_symmetric if scheme.symmetric_activations else torch.per_tensor_affine,
    )

    def weights(axis: int) -> QuantizationSpec:
        observer = MovingAveragePerChannelMinMaxObserver if scheme.per_channel else MovingAverageMinMaxObserver
        return QuantizationSpec(
            torch.int8,
            # An average of one batch: the range of weights is that of the weights as they are.
            FakeQuantize.with_args(observer=observer, averaging_constant=1.0),
            *weight_range(scheme),
            torch.per_channel_symmetric if scheme.per_channel else torch.per_tensor_symmetric,
            axis if scheme.per_channel else None,
        )

    return SchemeQuantizer(activations, weights(scheme.axis), weights(scheme.axis + 1), scheme.operators)


def ort_options(scheme: Scheme) -> dict[str, Any]:
    """``extra_options`` of ONNX Runtime's quantizers."""
    return {
        "ActivationSymmetric": scheme.symmetric_activations,
        "WeightSymmetric": True,
        "QuantizeBias": scheme.quantize_bias,
    }


def nncf_parameters(scheme: Scheme) -> dict[str, Any]:
    """Keyword arguments of ``nncf.quantize`` and, under ``overflow_fix``, of its advanced parameters."""
    import nncf
    from nncf.quantization.advanced_parameters import OverflowFix

    checked(scheme)
    presets = nncf.QuantizationPreset
    return {
        "preset": presets.PERFORMANCE if scheme.symmetric_activations else presets.MIXED,
        "overflow_fix": OverflowFix.ENABLE if scheme.weight_bits == 7 else OverflowFix.DISABLE,
    }


def fx_qconfig(scheme: Scheme, calibration: str | None) -> tuple[QConfigMapping, BackendConfig]:
    """For ``torch.ao.quantization``'s FX flow: how values are rounded, and which operators are, fused how.

    ``calibration``: as in the recipe, for rounding after training; every method but `minmax` becomes PyTorch's
    histogram, which minimises the squared error. None: fake quantizers, for training.
    """
    import torch
    from torch.ao import quantization as ao
    from torch.ao.quantization.backend_config import get_native_backend_config, get_tensorrt_backend_config

    checked(scheme)
    dtype = {"u8": torch.quint8, "s8": torch.qint8}[scheme.activations]
    limits = torch.iinfo(dtype)
    symmetric = scheme.symmetric_activations
    activations = {
        "dtype": dtype,
        "quant_min": limits.min,
        "quant_max": limits.max,
        "qscheme": torch.per_tensor_symmetric if symmetric else torch.per_tensor_affine,
    }
    smallest, largest = weight_range(scheme)
    weights = {
        "dtype": torch.qint8,
        "quant_min": smallest,
        "quant_max": largest,
        "qscheme": torch.per_channel_symmetric if scheme.per_channel else torch.per_tensor_symmetric,
        "averaging_constant": 1.0,  # the range of weights is that of the weights as they are
    }
    per_weight = ao.MovingAveragePerChannelMinMaxObserver if scheme.per_channel else ao.MovingAverageMinMaxObserver
    if scheme.per_channel:
        weights["ch_axis"] = scheme.axis
    if calibration is None:
        observed = ao.FakeQuantize.with_args(
            observer=ao.MovingAverageMinMaxObserver, averaging_constant=MOMENTUM, **activations
        )
        config = ao.QConfig(observed, ao.FakeQuantize.with_args(observer=per_weight, **weights))
    else:
        observer = ao.MinMaxObserver if calibration == "minmax" else ao.HistogramObserver
        config = ao.QConfig(observer.with_args(**activations), per_weight.with_args(**weights))
    # The native backend knows u8 activations only, TensorRT's s8 only; both list the same layers and fusions.
    backend = get_native_backend_config() if scheme.activations == "u8" else get_tensorrt_backend_config()
    return ao.QConfigMapping().set_global(config), backend


def litert_recipe(scheme: Scheme, floating: Collection[str] = ()) -> list[dict[str, Any]]:
    """ai-edge-quantizer's: everything it can in 8-bit integers but the graph's ends.

    ``floating``: names of tensors whose operators stay in float. Raises :class:`QuantizationError` for a scheme that
    LiteRT has no kernels for.
    """
    import re

    from ai_edge_quantizer import algorithm_manager, qtyping, recipe_manager

    checked(scheme)
    if scheme.activations != "s8" or scheme.weight_bits != 8 or not scheme.quantize_bias:
        raise QuantizationError(
            f"LiteRT computes with s8 activations, 8-bit weights and integer biases only, not with {scheme.name}"
        )
    granularity = qtyping.QuantGranularity
    config = qtyping.OpQuantizationConfig(
        activation_tensor_config=qtyping.TensorQuantizationConfig(8, symmetric=scheme.symmetric_activations),
        weight_tensor_config=qtyping.TensorQuantizationConfig(
            8,
            symmetric=True,
            granularity=granularity.CHANNELWISE if scheme.per_channel else granularity.TENSORWISE,
        ),
        compute_precision=qtyping.ComputePrecision.INTEGER,
    )
    recipe, operators = recipe_manager.RecipeManager(), qtyping.TFLOperationName
    recipe.add_quantization_config(".*", operators.ALL_SUPPORTED, config)
    nothing = algorithm_manager.AlgorithmName.NO_QUANTIZE
    # What comes later in a recipe decides.
    for end in (operators.INPUT, operators.OUTPUT):
        recipe.add_quantization_config(".", end, algorithm_key=nothing)
    if floating:
        names = "|".join(map(re.escape, sorted(floating)))
        recipe.add_quantization_config(f"^({names});?$", operators.ALL_SUPPORTED, algorithm_key=nothing)
    return recipe.get_quantization_recipe()
