"""Leaving layers of a quantized file in float: by changing its graph, without quantizing anew.

A *layer* is a convolution or a matrix product whose operands are rounded. Putting it back into float means

1. its weights are those of the float file again, and so is its bias, which was corrected for rounding that is gone;
2. it reads its input as it was before rounding, unless the runtime has that input in int8 only (see ``keep_onnx``);
3. what lies between layers (additions, pooling) computes in int8 only where int8 layers are on both of its sides.

Where the quantized file's weights are not the rounded ones of the float file (they were trained, or moved between
layers first), a layer keeps the values it has, in float.

This takes milliseconds a file, where quantizing once for every set of layers would take minutes.
"""

from __future__ import annotations

import shutil
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from compress.errors import QuantizationError

Node = TypeVar("Node", bound=Hashable)


@dataclass(frozen=True)
class Layer:
    """``operator``: in the runtime's words. ``weights``: how many, 0 for a product of two activations."""

    name: str
    operator: str
    weights: int


def layers(quantized: Path) -> tuple[Layer, ...]:
    """The layers of an ONNX file with QuantizeLinear pairs, or of an IR (.xml), in the order in which they run.

    Raises :class:`QuantizationError` where two share a name, or the format is another one.
    """
    found = _format(quantized).layers(quantized)
    names = [layer.name for layer in found]
    if repeated := sorted({name or "(no name)" for name in names if not name or names.count(name) > 1}):
        raise QuantizationError(f"{quantized.name}: layers cannot be told apart by name: {', '.join(repeated)}")
    return found


def with_float(quantized: Path, floating: Path, kept: frozenset[str], out: Path) -> None:
    """Write ``quantized`` to ``out`` with the layers called ``kept`` in float; ``floating``: the file it came from."""
    known = {layer.name for layer in layers(quantized)}
    if unknown := sorted(kept - known):
        raise QuantizationError(
            f"{quantized.name} has no layer {', '.join(unknown)}; it has {', '.join(sorted(known))}"
        )
    if kept:
        _format(quantized).with_float(quantized, floating, kept, out)
        return
    for file in files(quantized):
        shutil.copyfile(file, out.with_suffix(file.suffix))


def files(model: Path) -> list[Path]:
    """The files a model consists of."""
    return [model, model.with_suffix(".bin")] if model.suffix == ".xml" else [model]


def size(model: Path) -> int:
    """Bytes of all of a model's files."""
    return sum(file.stat().st_size for file in files(model))


def can_keep(model: Path) -> bool:
    """Whether layers of a file of this format can be put back into float."""
    return model.suffix in (".onnx", ".xml")


def _format(model: Path):
    if model.suffix == ".onnx":
        from compress.quantize.layers import keep_onnx

        return keep_onnx
    if model.suffix == ".xml":
        from compress.quantize.layers import keep_openvino

        return keep_openvino
    raise QuantizationError(
        f"{model.name}: layers can be left in float in .onnx and .xml files, not in *{model.suffix}"
    )


def rounded(weights: np.ndarray, stored: np.ndarray, scale: np.ndarray) -> bool:
    """Whether ``stored`` (dequantized) is ``weights`` rounded, to either neighbour, as learned rounding does."""
    return weights.shape == stored.shape and bool(np.all(np.abs(weights - stored) <= 1.01 * scale))


def stay_int8(feeds: Mapping[Node, set[Node]], layers: set[Node], kept: set[Node], shapes: set[Node]) -> set[Node]:
    """The nodes that compute in int8 when the layers ``kept`` do not.

    ``feeds``: for every node, those that read it. ``shapes``: nodes that only move values; one that leads to an int8
    layer carries that layer's rounded input, whatever came before.
    """
    reads: dict[Node, set[Node]] = {node: set() for node in feeds}
    for node, readers in feeds.items():
        for reader in readers:
            reads[reader].add(node)
    int8 = layers - kept
    fed, fed_float = _reach(feeds, int8, layers), _reach(feeds, kept, layers)
    read, read_float = _reach(reads, int8, layers), _reach(reads, kept, layers)
    # Before the first layer and after the last there is nothing on one side, and nothing changes.
    between = {
        node
        for node in feeds.keys() - layers
        if (node in fed or node not in fed_float) and (node in read or node not in read_float)
    }
    carriers = _reach({node: readers & shapes for node, readers in reads.items()}, int8, layers)
    return int8 | between | carriers


def _reach(edges: Mapping[Node, set[Node]], starts: set[Node], layers: set[Node]) -> set[Node]:
    """The nodes that are no layers which ``starts`` lead to without passing a layer."""
    found: set[Node] = set()
    pending = [node for start in starts for node in edges[start]]
    while pending:
        node = pending.pop()
        if node not in layers and node not in found:
            found.add(node)
            pending.extend(edges[node])
    return found
