"""What runs of an OpenVINO IR in int8: read in the graph that the CPU plugin makes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from compress.errors import QuantizationError
from compress.quantize.checks.coverage_reasons import ACTIVATIONS, WEIGHTS_ONLY
from compress.quantize.checks.covered import NO_WEIGHTS, Coverage, Layer
from edge_runtime import machine
from edge_runtime.sessions.openvino_core import core

if TYPE_CHECKING:
    import openvino

LAYERS = (
    *("Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData"),
    "MatMul",
)
"""Of the file."""

KERNELS = ("Convolution", "Deconvolution", "FullyConnected", "MatMul")
"""The plugin's, whatever they compute in."""

MOVING = (
    *("Reshape", "Squeeze", "Unsqueeze", "Transpose", "MaxPool", "Concat", "Split", "VariadicSplit", "StridedSlice"),
    *("Slice", "Relu", "ReLU", "Clamp", "Pad", "Interpolate", "Gather", "ReduceMax", "DepthToSpace", "SpaceToDepth"),
)
"""Operators that low-precision transformations carry integers through."""

SCALES_ACTIVATIONS = ("avx512_vnni", "avx_vnni", "amx_int8")
"""Features of a CPU with one of which the plugin may multiply integer weights by activations that it scales as they
come."""

NOT_ABLE = "OpenVINO scales activations as they come on CPUs with VNNI or AMX, and this CPU has neither"

TYPES = {"i8": "int8", "u8": "int8", "i4": "int4", "u4": "int4", "f32": "float32", "f16": "float16", "bf16": "bfloat16"}


def read(path: Path, kept: Mapping[str, str]) -> Coverage:
    """As OpenVINO's CPU plugin runs it on this machine."""
    import openvino

    try:
        model = core().read_model(path)
        compiled = core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    except RuntimeError as error:
        raise QuantizationError(f"{path}: openvino {openvino.__version__} does not load this file: {error}") from error
    made = [_Made(node) for node in compiled.get_runtime_model().get_ordered_ops()]
    kernels = [node for node in made if node.layer in KERNELS]
    weight_bytes = _weight_bytes(model)
    compressed = {"int8", "int4"} & set(weight_bytes) and not any(_is_quantizer(node) for node in model.get_ops())
    layers = []
    for node in model.get_ordered_ops():
        if node.get_type_name() in LAYERS:
            name = node.get_friendly_name()
            kernel = next((kernel for kernel in kernels if kernel.came_from(name)), None)
            integer = kernel is not None and kernel.int8
            why = "" if integer else _reason(node, kept, bool(compressed))
            shown = None if kernel is None else kernel.layer
            layers.append(Layer(name, node.get_type_name(), shown, integer, _weights_of(node), why))
    quantizers = [node for node in made if node.layer == "FakeQuantize"]
    return Coverage(
        int8=_counts(kernel.layer for kernel in kernels if kernel.int8),
        floating=_counts(kernel.layer for kernel in kernels if not kernel.int8),
        conversions=len(quantizers),
        layers=tuple(layers),
        # Those that give integers are the entrance from floats.
        unfused=tuple(f"FakeQuantize {node.name} gives floats" for node in quantizers if not node.gives_integers),
        weight_bytes=weight_bytes,
        seen=f"the graph that openvino {openvino.__version__.split('-')[0]} makes of it on this machine",
    )


class _Made:
    """A node of the compiled graph."""

    def __init__(self, node: openvino.Node) -> None:
        facts = node.get_rt_info()

        def fact(key: str) -> str:
            return facts[key].astype(str) if key in facts else ""

        self.name, self.layer = node.get_friendly_name(), fact("layerType")
        # The kernel, not the precision of its inputs: a deconvolution of integers runs as `brgconv_avx2_f32`.
        self.int8 = fact("primitiveType").lower().endswith("_i8")
        self.gives_integers = fact("outputPrecisions").split(",")[0] in ("i8", "u8")
        self._originals = fact("originalLayersNames").split(",")

    def came_from(self, name: str) -> bool:
        """Transformations add what they did to a name, behind a slash."""
        return any(original == name or original.startswith(f"{name}/") for original in self._originals)


def _reason(node: openvino.Node, kept: Mapping[str, str], compressed: bool) -> str:
    """``compressed``: the file has integer weights only."""
    name, weights = node.get_friendly_name(), _weights_of(node)
    if name in kept:
        return f"kept in float on purpose: {kept[name]}"
    inside = _quantizes(node.input_value(0).get_node())
    weighed = weights in ("int8", "int4") or _quantizes(node.input_value(1).get_node())
    if compressed and weights == "none":
        return ACTIVATIONS
    if not inside and not weighed:
        return "no FakeQuantize before it: the quantizer left it out"
    if not inside:
        able = node.get_type_name() != "MatMul" or set(SCALES_ACTIVATIONS) & set(machine.detect().features)
        return WEIGHTS_ONLY if able else f"{WEIGHTS_ONLY}: {NOT_ABLE}"
    if not weighed:
        return "its second input is not quantized" if weights == "none" else f"its weights are {weights}"
    if weights == "int4":
        return "its weights have 4 bits, which the CPU turns back to floats"
    return "it is quantized on both sides, but OpenVINO has no int8 kernel for it on this CPU"


def _is_quantizer(node: openvino.Node) -> bool:
    return node.get_type_name() == "FakeQuantize"


def _quantizes(node: openvino.Node) -> bool:
    """Whether integers arrive here: from a FakeQuantize, or 8-bit inputs, through operators that only move values."""
    while node.get_type_name() in MOVING:
        node = node.input_value(0).get_node()
    if _is_quantizer(node):
        return node.get_attributes()["levels"] <= 256
    return False


def _weights_of(node: openvino.Node) -> str:
    """The type of the constant that the second input is made of; "none" where it is computed."""
    value = node.input_value(1).get_node()
    while value.get_type_name() in ("Multiply", "Subtract", "Convert", "Reshape", "Transpose", "FakeQuantize"):
        value = value.input_value(0).get_node()
    return _type(value) if value.get_type_name() == "Constant" else "none"


def _weight_bytes(model: openvino.Model) -> dict[str, int]:
    """Of constants with two axes longer than 1, but not of scales."""
    sizes: Counter[str] = Counter()
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Constant" or _type(node) in NO_WEIGHTS:
            continue
        if _is_matrix(node.get_output_shape(0)) and not _is_scale(node):
            sizes[_type(node)] += prod(node.get_output_shape(0)) * node.get_output_element_type(0).bitwidth // 8
    return dict(sizes)


def _is_scale(node: openvino.Node) -> bool:
    for reader in node.output(0).get_target_inputs():
        if reader.get_node().get_type_name() in ("Multiply", "Subtract"):
            other = reader.get_node().input_value(1 - reader.get_index()).get_node()
            while other.get_type_name() in ("Subtract", "Convert"):
                other = other.input_value(0).get_node()
            if other.get_type_name() == "Constant" and other.get_output_element_type(0).bitwidth <= 8:
                return True
    return False


def _is_matrix(shape: list[int]) -> bool:
    return sum(size > 1 for size in shape) >= 2


def _type(node: openvino.Node) -> str:
    name = node.get_output_element_type(0).get_type_name()
    return TYPES.get(name, name)


def _counts(names: object) -> dict[str, int]:
    counts = Counter(names)
    return {name: counts[name] for name in KERNELS if counts[name]}
