"""An ONNX file of one convolution, written without the `onnx` package, which devices do not have.

It is large enough to reach the rate at which a runtime multiplies, and small enough for the second-level cache of most
cores: 512 channels in and out, 16 x 16 places, 1 x 1 in float32 and 3 x 3 between 256 channels in int8. A 1 x 1
convolution is a matrix product that no algorithm can do with fewer multiplications; 3 x 3 ones are what integer
kernels are best at, and none of them saves multiplications there.

Encoded is the little of Protocol Buffers that this takes. https://protobuf.dev/programming-guides/encoding and
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

PLACES = 16
SHAPES = {"float32": (512, 1), "int8": (256, 3)}
"""Channels, and side of the kernel."""

FLOAT, UINT8, INT8 = 1, 2, 3
INTS = 7
CODES = {"float32": FLOAT, "uint8": UINT8, "int8": INT8}


def write(path: Path, precision: str) -> tuple[Path, int]:
    """``precision``: "float32" or "int8" (u8 activations, s8 weights of 7 bits, between Q/DQ).

    Returns the path, and the multiply-accumulates of one inference.
    """
    channels, side = SHAPES[precision]
    random = np.random.default_rng(0)
    shape = (channels, channels, side, side)
    if precision == "float32":
        weights = {"w": random.standard_normal(shape, np.float32)}
        nodes = [_convolution("x", "w", "y", side)]
        kind = FLOAT
    else:
        weights = {
            "w": random.integers(-63, 64, shape).astype(np.int8),
            "scale": np.array(0.01, np.float32),
            "result": np.array(1, np.float32),
            "zero_u8": np.array(128, np.uint8),
            "zero_s8": np.array(0, np.int8),
        }
        nodes = [
            _node("DequantizeLinear", ["x", "scale", "zero_u8"], "a"),
            _node("DequantizeLinear", ["w", "scale", "zero_s8"], "b"),
            _convolution("a", "b", "c", side),
            _node("QuantizeLinear", ["c", "result", "zero_u8"], "y"),
        ]
        kind = UINT8
    graph = b"".join(_field(1, node) for node in nodes) + _field(2, b"product")
    graph += b"".join(_field(5, _tensor(name, array)) for name, array in weights.items())
    graph += _field(11, _value("x", kind, channels)) + _field(12, _value("y", kind, channels))
    opset = _field(1, b"") + _number(2, 17)
    path.write_bytes(_number(1, 8) + _field(7, graph) + _field(8, opset))
    return path, channels**2 * side**2 * PLACES**2


def _convolution(x: str, w: str, y: str, side: int) -> bytes:
    pads = b"".join(_number(8, side // 2) for _ in range(4))
    return _node("Conv", [x, w], y) + _field(5, _field(1, b"pads") + pads + _number(20, INTS))


def _node(operator: str, inputs: list[str], output: str) -> bytes:
    names = b"".join(_field(1, name.encode()) for name in inputs)
    return (
        names + _field(2, output.encode()) + _field(3, f"{operator} {output}".encode()) + _field(4, operator.encode())
    )


def _tensor(name: str, array: np.ndarray) -> bytes:
    sizes = b"".join(_number(1, size) for size in array.shape)
    raw = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    return sizes + _number(2, CODES[array.dtype.name]) + _field(8, name.encode()) + _field(9, raw)


def _value(name: str, kind: int, channels: int) -> bytes:
    sizes = b"".join(_field(1, _number(1, size)) for size in (1, channels, PLACES, PLACES))
    return _field(1, name.encode()) + _field(2, _field(1, _number(1, kind) + _field(2, sizes)))


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    data = bytearray()
    while value > 127:
        data.append(value & 127 | 128)
        value >>= 7
    data.append(value)
    return bytes(data)
