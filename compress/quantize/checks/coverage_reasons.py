"""Why a convolution or matrix product of an ONNX file does not run in int8, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import onnx_ir as ir

from compress.quantize.checks.covered import STORED

if TYPE_CHECKING:
    from compress.targets.scheme import Scheme

INTEGER = (
    *("QLinearConv", "QGemm", "QLinearMatMul", "MatMulIntegerToFloat", "MatMulInteger", "ConvInteger"),
    *("DynamicQuantizeMatMul", "QAttention", "DynamicQuantizeLSTM"),
)
"""ONNX's and ONNX Runtime's convolutions and matrix products that multiply integers."""

MATMUL_NBITS = "MatMulNBits"
LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul", MATMUL_NBITS, *INTEGER)
"""Those a file can hold."""

WITHOUT_KERNEL = ("ConvTranspose",)
"""Can be quantized in a file, but ONNX Runtime multiplies them in float."""

NEEDS_OUTPUT = ("Conv", "ConvTranspose")
"""Whose int8 kernels give int8; those of matrix products can give floats too."""

LEFT_OUT = "no QuantizeLinear / DequantizeLinear around it: the quantizer left it out"
WEIGHTS_ONLY = "only its weights are quantized, and turned back to floats to compute"
ACTIVATIONS = "it multiplies two activations, and only constant weights are quantized in this file"
DYNAMIC_CONVOLUTION = (
    "`method: dynamic` leaves convolutions in float, as ONNX Runtime's integer ones of this kind are several times "
    "slower; `method: static` makes them int8"
)


def weights_of(node: ir.Node) -> str:
    """The type that the second input is stored in; "none" where it is computed."""
    if node.op_type == MATMUL_NBITS:
        return f"int{node.attributes.get_int('bits', 4)}"
    value = node.inputs[3 if node.op_type in ("QLinearConv", "QLinearMatMul", "QGemm") else 1]
    while value is not None and value.const_value is None and (maker := value.producer()) is not None:
        # Through DequantizeLinear, and through what is folded while loading.
        passed = ("QuantizeLinear", "DequantizeLinear", "Transpose", "Cast", "Identity", "Constant")
        if maker.op_type not in passed and not _widens(maker):
            return "none"
        if maker.op_type == "Constant":
            break
        value = maker.inputs[0]
    if value is None or value.dtype is None or (value.const_value is None and value.producer() is None):
        return "none"
    kind = value.dtype.name.lower()
    return STORED.get(kind, kind)


def float_reason(node: ir.Node, scheme: Scheme | None, kept: Mapping[str, str], name: str) -> str:
    """As ONNX Runtime 1.32 fuses, found by trying each case (tests/quantize/test_coverage.py)."""
    if name in kept:
        return f"kept in float on purpose: {kept[name]}"
    if node.op_type == MATMUL_NBITS:
        return WEIGHTS_ONLY
    weights = weights_of(node)
    inside, weighed = dequantized(node.inputs[0]), dequantized(node.inputs[1])
    if weights == "float16":
        return "its weights are 16-bit floats"
    if not inside and not weighed:
        return _untouched(node, weights)
    if node.op_type in WITHOUT_KERNEL or (scheme is not None and node.op_type not in scheme.operators):
        return f"{node.op_type} has no int8 kernel in ONNX Runtime"
    if not inside:
        return f"its input is not quantized; {WEIGHTS_ONLY}" if weighed else "its input is not quantized"
    if not weighed:
        return "its second input is not quantized" if weights == "none" else f"its weights are {weights}"
    if node.op_type in NEEDS_OUTPUT:
        reason = _output_reason(node)
        if reason:
            return reason
    return "it is quantized on all sides, but ONNX Runtime has no kernel for this combination of types"


def tensorrt_reason(node: ir.Node, kept: Mapping[str, str], name: str) -> str:
    """Empty for a layer in int8. TensorRT, "Explicit quantization": Q / DQ on both inputs, zero points of 0, s8."""
    if name in kept:
        return f"kept in float on purpose: {kept[name]}"
    if node.op_type in INTEGER or node.op_type == MATMUL_NBITS:
        return f"TensorRT does not know ONNX Runtime's {node.op_type}"
    makers = [value.producer() if dequantized(value) else None for value in node.inputs[:2]]
    if makers == [None, None]:
        return LEFT_OUT
    if None in makers:
        return "its input is not quantized" if makers[0] is None else f"its weights are {weights_of(node)}"
    for maker in makers:
        zero = maker.inputs[2] if len(maker.inputs) > 2 else None
        if zero is None or zero.dtype != ir.DataType.INT8:
            return "TensorRT refuses u8, it takes s8 only"
        if zero.const_value is None or zero.const_value.numpy().any():
            return "TensorRT refuses zero points other than 0"
    return ""


def dequantized(value: ir.Value | None) -> bool:
    maker = None if value is None else value.producer()
    return maker is not None and maker.op_type == "DequantizeLinear"


def _widens(node: ir.Node) -> bool:
    """Whether it scales integer weights that a Cast made floats."""
    maker = node.inputs[0].producer() if node.op_type == "Mul" and node.inputs[0] is not None else None
    return maker is not None and maker.op_type == "Cast" and node.inputs[1].const_value is not None


def _untouched(node: ir.Node, weights: str) -> str:
    """Without pairs on either side: files of dynamic int8, and of integer weights, have none anywhere."""
    dynamic = any(other.op_type == "DynamicQuantizeLinear" for other in node.graph)
    if weights == "int8":
        return DYNAMIC_CONVOLUTION if dynamic and node.op_type in NEEDS_OUTPUT else WEIGHTS_ONLY
    return ACTIVATIONS if dynamic and weights == "none" else LEFT_OUT


def _output_reason(node: ir.Node) -> str:
    out, between = node.outputs[0], None
    readers = [use.node for use in out.uses()]
    if len(readers) == 1 and readers[0].op_type in ("Relu", "Clip"):
        between = readers[0]
        out, readers = between.outputs[0], [use.node for use in between.outputs[0].uses()]
    others = [reader for reader in readers if reader.op_type != "QuantizeLinear"]
    if out.is_graph_output() and not readers:
        return "its output is not quantized: it is the network's"
    if others:
        names = ", ".join(sorted({reader.op_type for reader in others}))
        also = " too" if len(others) < len(readers) else ""
        return f"its output is not quantized: {names} reads it in float{also}"
    if between is not None:
        return f"{between.op_type} stands before its quantizer, whose range does not end where {between.op_type}'s does"
    return ""
