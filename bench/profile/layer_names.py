"""Which layer of a file a profiled kernel is, and how many multiplications that takes.

OpenVINO tells shapes and names. ONNX Runtime tells neither of weights that it has packed, but gives its kernels names
made of the file's: of a node, with an ending (``conv1_token_8``); of a node's output (``relu_1_nchwc``); of a node
without a name its operator and position (``Conv_14``). A kernel that fits none of these stays as it is called.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnx import NodeProto

from compress.bench.roofline.cost import Shapes
from compress.models.counts import OnnxProduct, onnx_products

ENDINGS = re.compile(r"(_token_\d+|_nchwc|_nhwc|_fused|/WithoutBiases|/Dequantization\w*|/fq_\w+|_quant)+$")
NUMBERED = re.compile(r"(\w+?)_(\d+)")
PRODUCTS = ("Conv", "Gemm", "MatMul")
"""In the types of ONNX Runtime's kernels that multiply."""

Layer = Mapping[str, Any]


@dataclass(frozen=True)
class Known:
    """What the file says of a kernel: its layer's name, and its MACs if it multiplies and they are known."""

    name: str
    macs: int | None


def name_layers(layers: list[Layer], path: Path, inputs: Shapes) -> list[Known]:
    """One for each profiled layer, in the same order. Raises :class:`ModelError` for an ``.onnx`` that is damaged."""
    plain = [Known(ENDINGS.sub("", layer["name"]) or layer["name"], layer["macs"]) for layer in layers]
    if path.suffix != ".onnx" or not any(layer["macs"] is None for layer in layers):
        return plain
    graph = _Graph(path, inputs)
    return [
        known if known.macs is not None else graph.find(layer, known)
        for layer, known in zip(layers, plain, strict=True)
    ]


class _Graph:
    """A file's nodes by every name that a kernel may have from them. A product is given away once."""

    def __init__(self, path: Path, inputs: Shapes) -> None:
        found = onnx_products(path, inputs)
        self._nodes = list(found.graph.node)
        self._by_name = {node.name: node for node in self._nodes if node.name}
        self._makers = {name: node for node in self._nodes for name in node.output}
        self._products: dict[str, OnnxProduct] = {product.node.output[0]: product for product in found.products}

    def find(self, layer: Layer, known: Known) -> Known:
        node = self._node(layer["name"], known.name)
        if node is None:
            return known
        if not any(word in layer["type"] for word in PRODUCTS):
            return Known(node.name or known.name, None)
        product = self._product(node)
        if product is None:
            return known
        del self._products[product.node.output[0]]
        return Known(product.node.name or known.name, product.macs)

    def _node(self, whole: str, short: str) -> NodeProto | None:
        for name in (whole, short):
            if name in self._by_name or name in self._makers:
                return self._by_name.get(name) or self._makers[name]
        if numbered := NUMBERED.fullmatch(whole):
            index = int(numbered[2])
            if index < len(self._nodes) and self._nodes[index].op_type == numbered[1] and not self._nodes[index].name:
                return self._nodes[index]
        return None

    def _product(self, node: NodeProto | None) -> OnnxProduct | None:
        """The product itself, or the nearest one before what was fused into its kernel."""
        for _ in range(8):
            if node is None:
                return None
            if node.output and node.output[0] in self._products:
                return self._products[node.output[0]]
            node = next((self._makers[name] for name in node.input if name in self._makers), None)
        return None
