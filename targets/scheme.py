"""How a target wants its int8: the one place where hardware decides about quantization.

A recipe says `quantize: {to: int8}`; the first rule below that fits the target and the runtime says the rest.

- x86 without VNNI multiplies with VPMADDUBSW: u8 times s8, two products added in 16 bits. 2 x 255 x 127 does not fit,
  the sum is cut off and the network answers wrong. 7-bit weights fit: 2 x 255 x 64 = 32640 < 32767.
- VNNI (VPDPBUSD) and AMX add four such products in 32 bits: full range.
- ARM (SMLAL, SDOT, SMMLA) multiplies s8 by s8 in 32 bits.
- TensorRT wants zero points of 0, one scale a channel for weights, and biases left in float.

Sources: Intel SDM volume 2; oneDNN "Nuances of int8 computations"; ONNX Runtime "Quantize ONNX models"; TensorRT
"Explicit quantization"; NNCF ``OverflowFix``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from compress.errors import TargetError
from compress.suggest import did_you_mean
from compress.targets.target import Target

WIDE_SUMS = ("avx512_vnni", "avx_vnni", "amx_int8")
"""x86 instruction sets that add products of bytes in 32 bits."""


@dataclass(frozen=True)
class Scheme:
    """How weights and activations become 8-bit integers.

    Weights are always s8 with zero point 0. ``weight_bits``: 7 uses half of that range; ``symmetric_activations``:
    their zero point is fixed (0 for s8); ``per_channel``: one weight scale for every index of ``axis``, which counts
    output channels; ``quantize_bias``: as int32; ``operators``: what has int8 kernels, in ONNX's words;
    ``accumulate``: how products are added, two by two in 16 bits first, or all in 32 bits; ``saturates``: such sums
    overflow; ``why``: in words.
    """

    runtime: str
    activations: Literal["u8", "s8"]
    weight_bits: Literal[7, 8]
    symmetric_activations: bool
    per_channel: bool
    quantize_bias: bool
    accumulate: Literal["int16-pairs", "int32"]
    operators: tuple[str, ...]
    why: str
    axis: int = 0

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Scheme:
        """The scheme that ``asdict`` gave, after a way through JSON, which has no tuples."""
        return cls(**values | {"operators": tuple(values["operators"])})

    @property
    def saturates(self) -> bool:
        """ONNX Runtime and OpenVINO both shift s8 activations to u8 on x86, so only the weights' range decides."""
        return self.accumulate == "int16-pairs" and self.weight_bits == 8

    @property
    def name(self) -> str:
        """Short and distinct within a runtime: `u8s7`, `s8s8-symmetric`, `u8s8-saturating`."""
        symmetric = "-symmetric" if self.symmetric_activations else ""
        return f"{self.activations}s{self.weight_bits}{symmetric}{'-saturating' if self.saturates else ''}"

    @property
    def words(self) -> str:
        zero = "symmetric" if self.symmetric_activations else "asymmetric"
        scales = "one scale a channel" if self.per_channel else "one scale a tensor"
        return f"{zero} {self.activations} activations, {self.weight_bits}-bit weights with {scales}: {self.why}"


@dataclass(frozen=True)
class _Rule:
    """Holds for ``runtime`` on ``arch`` (None: any), with any of the ``features`` (empty: always)."""

    runtime: str
    arch: str | None
    gpu: bool
    features: tuple[str, ...]
    why: str
    choices: dict[str, Any] = field(default_factory=dict)

    def fits(self, target: Target, runtime: str) -> bool:
        return (
            runtime == self.runtime
            and self.arch in (None, target.arch)
            and self.gpu == (runtime in target.on_gpu)
            and (not self.features or bool(set(self.features) & set(target.features)))
        )


WIDE = "x86 with VNNI or AMX adds products of u8 and s8 in 32 bits, so both use their full range"
NARROW = "x86 without VNNI adds pairs of u8 x s8 products in 16 bits; with 7-bit weights they never overflow"
ARM = "ARM multiplies s8 by s8 and adds in 32 bits, so both use their full range"
TENSORRT = "TensorRT computes with zero points of 0 only and wants biases in float"
LITERT = "LiteRT's kernels take s8 by s8 everywhere and add in 32 bits"
FULL_INTEGER = "symmetric ranges need no zero-point arithmetic, the cheapest form on GPUs and on ARM"

OPERATORS = (
    *("Conv", "ConvTranspose", "Gemm", "MatMul"),
    *("Add", "Mul", "Concat", "Relu", "Clip", "LeakyRelu", "Sigmoid"),
    *("MaxPool", "AveragePool", "GlobalAveragePool", "Resize", "Pad"),
    *("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Split", "Slice"),
)
"""What has int8 kernels; the others (softmax, layer normalisation, gathers) lose more than they win."""

_SYMMETRIC = {"symmetric_activations": True}
_NARROW = {"activations": "u8", "weight_bits": 7, "accumulate": "int16-pairs"}
RULES = (
    _Rule("onnxruntime", "x86_64", False, WIDE_SUMS, WIDE, {"activations": "u8"}),
    _Rule("onnxruntime", "x86_64", False, (), NARROW, _NARROW),
    _Rule("onnxruntime", "aarch64", False, (), ARM, {"activations": "s8"}),
    _Rule("openvino", "x86_64", False, WIDE_SUMS, WIDE, {"activations": "u8"}),
    _Rule("openvino", "x86_64", False, (), NARROW, _NARROW),
    _Rule("openvino", "aarch64", False, (), FULL_INTEGER, {"activations": "s8"} | _SYMMETRIC),
    _Rule("openvino", None, True, (), FULL_INTEGER, {"activations": "s8"} | _SYMMETRIC),
    _Rule("litert", None, False, (), LITERT, {"activations": "s8"}),
    _Rule("tensorrt", None, True, (), TENSORRT, {"activations": "s8", "quantize_bias": False} | _SYMMETRIC),
)
RUNTIMES = tuple(dict.fromkeys(rule.runtime for rule in RULES))
"""Those that compute in int8; the others in floats alone."""
DEFAULTS = {
    "weight_bits": 8,
    "symmetric_activations": False,
    "per_channel": True,
    "quantize_bias": True,
    "accumulate": "int32",
    "operators": OPERATORS,
}


def scheme(
    target: Target,
    runtime: str,
    *,
    activations: Literal["u8", "s8"] | None = None,
    weight_bits: Literal[7, 8] | None = None,
) -> Scheme:
    """The scheme of ``target`` for ``runtime``; ``activations`` and ``weight_bits`` force another one, good or bad.

    Raises :class:`TargetError` when the target has no such runtime, or nothing is known about its arithmetic.
    """
    if runtime not in target.runtimes:
        raise TargetError(f"'{target.name}' has no runtime '{runtime}'; {did_you_mean(runtime, target.runtimes)}")
    if runtime not in RUNTIMES:
        raise TargetError(f"{runtime} computes in floats alone; runtimes with int8 are {', '.join(RUNTIMES)}")
    rule = next((rule for rule in RULES if rule.fits(target, runtime)), None)
    if rule is None:
        raise TargetError(
            f"no int8 scheme is known for {runtime} on '{target.name}' ({target.arch}); targets with one have arch "
            "x86_64 or aarch64"
        )
    chosen = Scheme(runtime=runtime, why=rule.why, **DEFAULTS | rule.choices)
    forced = {"activations": activations, "weight_bits": weight_bits}
    forced = {key: value for key, value in forced.items() if value not in (None, getattr(chosen, key))}
    if not forced:
        return chosen
    return replace(chosen, why=f"asked for, against the target's own scheme ({chosen.name})", **forced)
