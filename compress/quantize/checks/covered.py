"""What a quantized file holds and what runs of it in integers: plain data and its words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

SHOWN = 6
"""Names told in one line; of the others only the number."""

STORED = {"int8": "int8", "uint8": "int8", "int4": "int4", "uint4": "int4", "float32": "float32", "float": "float32"}
"""Element types of ONNX and OpenVINO by the name they are counted under; others keep theirs."""

NO_WEIGHTS = ("int32", "int64", "i32", "i64", "bool", "boolean")
"""Types of constants that are shapes, positions and paddings."""


@dataclass(frozen=True)
class Layer:
    """A convolution or matrix product.

    ``operator``: in the file; ``kernel``: what the runtime makes of it, None where the file alone was read;
    ``int8``: whether activations and weights are multiplied as 8-bit integers; ``weights``: the type they are stored
    in, "none" for a product of two activations; ``why``: the reason for float, empty where int8.
    """

    name: str
    operator: str
    kernel: str | None
    int8: bool
    weights: str
    why: str


@dataclass(frozen=True)
class Coverage:
    """Convolutions and matrix products by operator, and the conversions left between them.

    ``int8``, ``floating``: operator to count. ``conversions``: quantizers and dequantizers that did not fuse, among
    them those where floats come in and go out. ``layers``: one by one, in the file's order. ``unfused``: where values
    are rounded to 8 bits although what comes next, or lies between, computes in float: Q / DQ pairs and FakeQuantizes
    that cost time and save none. ``weight_bytes``: stored bytes by type, of constants with two axes longer than 1.
    ``seen``: how all this is known.
    """

    int8: dict[str, int]
    floating: dict[str, int]
    conversions: int
    layers: tuple[Layer, ...] = ()
    unfused: tuple[str, ...] = ()
    weight_bytes: dict[str, int] = field(default_factory=dict)
    seen: str = ""

    @property
    def complete(self) -> bool:
        return bool(self.int8) and not self.floating

    @property
    def words(self) -> str:
        quick, slow = sum(self.int8.values()), sum(self.floating.values())
        listed = ", ".join(f"{count} {operator}" for operator, count in self.floating.items())
        left = f"; still float: {listed}" if listed else ""
        return f"{quick} of {quick + slow} convolutions and matrix products run in int8{left}"

    @property
    def warning(self) -> str:
        """The words with the most frequent reason of a layer in float."""
        reasons = Counter(layer.why for layer in self.layers if not layer.int8).most_common(1)
        return self.words + "".join(f" ({count} of them: {why})" for why, count in reasons)

    @property
    def lines(self) -> list[str]:
        """The words, then the layers in float by their reason, what did not fuse, and how weights are stored."""
        lines = [self.words]
        reasons: dict[str, list[str]] = {}
        for layer in self.layers:
            if not layer.int8:
                reasons.setdefault(layer.why, []).append(f"{layer.name} ({layer.operator})")
        lines += [f"in float: {_some(names, ', ')}: {why}" for why, names in reasons.items()]
        loaded = [layer.name for layer in self.layers if layer.int8 and layer.weights.startswith("float")]
        if loaded:
            lines.append(f"stored in float, although multiplied in int8: the weights of {_some(loaded, ', ')}")
        if self.unfused:
            lines.append(f"{len(self.unfused)} pairs left unfused: {_some(self.unfused, '; ')}")
        if self.weight_bytes:
            lines.append(f"weights are stored as {self.weight_words}")
        return lines

    @property
    def weight_words(self) -> str:
        total = sum(self.weight_bytes.values())
        ordered = sorted(self.weight_bytes.items(), key=lambda item: -item[1])
        return ", ".join(f"{kind} ({_bytes(size)}, {size / total:.1%})" for kind, size in ordered)


def _bytes(size: int) -> str:
    return f"{size / 1000:,.1f} kB" if size >= 1000 else f"{size} bytes"


def _some(names: Sequence[str], separator: str) -> str:
    more = len(names) - SHOWN
    return separator.join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
