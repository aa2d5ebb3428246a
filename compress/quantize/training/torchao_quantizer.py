"""Where rounding is simulated in a network that ``torch.export`` traced: a quantizer of torchao's PT2E flow.

Engines run a layer in int8 when quantized values go in and quantized values come out. Walking the graph in order:

1. A convolution or matrix product rounds its input and its weights. A convolution also rounds its result, after the
   activation behind it, which engines fuse. A matrix product gives floats unless something else wants its result
   quantized: int8 kernels can, and logits of 256 levels would make ties that float does not have.
2. Sums, products, concatenations and averages round all inputs and the result, if all inputs are results of the above.
   So the normalisation of raw inputs stays float.
3. What only moves values (reshape, maximum pooling) has the same scale before and after.

Batch normalisation is expected to be folded into its convolution already; anything else stays float.
"""

from __future__ import annotations

import torch
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.quantizer import (
    QuantizationAnnotation,
    QuantizationSpec,
    Quantizer,
    SharedQuantizationSpec,
)

aten = torch.ops.aten
KEY = "quantization_annotation"
"""Where torchao looks for a node's annotation."""

CONVOLUTIONS = {
    aten.conv1d.default: "Conv",
    aten.conv1d.padding: "Conv",
    aten.conv2d.default: "Conv",
    aten.conv2d.padding: "Conv",
    aten.conv3d.default: "Conv",
    aten.conv_transpose2d.input: "ConvTranspose",
}
PRODUCTS = {aten.linear.default: "Gemm"}
FUSED = (
    *(aten.relu.default, aten.relu_.default, aten.relu6.default),
    *(aten.hardtanh.default, aten.hardtanh_.default, aten.clamp.default),
)
"""Activations that engines compute together with the layer before them."""

ARITHMETIC = {
    **dict.fromkeys((aten.add.Tensor, aten.add_.Tensor), "Add"),
    **dict.fromkeys((aten.mul.Tensor, aten.mul_.Tensor), "Mul"),
    aten.cat.default: "Concat",
    **dict.fromkeys((aten.sigmoid.default, aten.sigmoid_.default), "Sigmoid"),
    **dict.fromkeys((aten.leaky_relu.default, aten.leaky_relu_.default), "LeakyRelu"),
    aten.avg_pool2d.default: "AveragePool",
    aten.adaptive_avg_pool2d.default: "GlobalAveragePool",
    aten.mean.dim: "GlobalAveragePool",
}
MOVEMENTS = {
    **dict.fromkeys((aten.max_pool1d.default, aten.max_pool2d.default, aten.max_pool3d.default), "MaxPool"),
    **dict.fromkeys((aten.reshape.default, aten.view.default, aten.flatten.using_ints), "Reshape"),
    **dict.fromkeys((aten.permute.default, aten.transpose.int), "Transpose"),
    **dict.fromkeys((aten.squeeze.dim, aten.squeeze.dims), "Squeeze"),
    aten.unsqueeze.default: "Unsqueeze",
    aten.slice.Tensor: "Slice",
    aten.upsample_nearest2d.vec: "Resize",
}


class SchemeQuantizer(Quantizer):
    """Annotates a traced network.

    ``activations``, ``weights``: how either is rounded, ``transposed``: the weights of a transposed convolution, whose
    output channels are another axis. ``operators``: what the target runs in int8, in ONNX's words.
    """

    def __init__(
        self,
        activations: QuantizationSpec,
        weights: QuantizationSpec,
        transposed: QuantizationSpec,
        operators: tuple[str, ...],
    ) -> None:
        super().__init__()
        self._activations, self._weights, self._transposed = activations, weights, transposed
        self._operators = frozenset(operators)

    def annotate(self, model: GraphModule) -> GraphModule:
        for node in model.graph.nodes:
            if self._runs(CONVOLUTIONS, node):
                self._layer(node)
                self._round(_tail(node))
            elif self._runs(PRODUCTS, node):
                self._layer(node)
            elif self._runs(ARITHMETIC, node) and not _ends(node):
                self._arithmetic(node)
            elif self._runs(MOVEMENTS, node) and not _ends(node):
                self._movement(node)
        return model

    def validate(self, model: GraphModule) -> None:
        """Nothing to check: only annotations of this class are in the graph."""

    def _runs(self, kinds: dict[object, str], node: Node) -> bool:
        return node.op == "call_function" and kinds.get(node.target) in self._operators

    def _layer(self, node: Node) -> None:
        values, weights = node.args[:2]
        if weights.op != "get_attr":  # the product of two activations
            return
        transposed = CONVOLUTIONS.get(node.target) == "ConvTranspose"
        _annotation(node).input_qspec_map |= {
            values: self._activations,
            weights: self._transposed if transposed else self._weights,
        }

    def _arithmetic(self, node: Node) -> None:
        operands = node.args[0] if node.target == aten.cat.default else node.args[: _arity(node)]
        if all(self._rounded(value) for value in operands):
            _annotation(node).input_qspec_map = dict.fromkeys(operands, self._activations)
            self._round(_tail(node))

    def _movement(self, node: Node) -> None:
        if self._rounded(node.args[0]):
            annotation = _annotation(node)
            annotation.input_qspec_map = {node.args[0]: self._activations}
            annotation.output_qspec = SharedQuantizationSpec((node.args[0], node))

    def _round(self, node: Node) -> None:
        _annotation(node).output_qspec = self._activations

    def _rounded(self, value: object) -> bool:
        """Whether a value is quantized; the result of a matrix product becomes so on demand."""
        if not isinstance(value, Node):
            return False
        head = value
        while head.target in FUSED:
            head = head.args[0]
        if isinstance(head, Node) and self._runs(PRODUCTS, head) and _tail(head) is value:
            self._round(value)
        return KEY in value.meta and value.meta[KEY].output_qspec is not None


def _annotation(node: Node) -> QuantizationAnnotation:
    return node.meta.setdefault(KEY, QuantizationAnnotation(_annotated=True))


def _arity(node: Node) -> int:
    return 2 if ARITHMETIC[node.target] in ("Add", "Mul") else 1


def _tail(node: Node) -> Node:
    """The node whose result leaves the fused operator."""
    while len(node.users) == 1 and next(iter(node.users)).target in FUSED:
        node = next(iter(node.users))
    return node


def _ends(node: Node) -> bool:
    """Whether the result is the network's answer, perhaps in another shape."""
    return all(user.op == "output" or (user.target in MOVEMENTS and _ends(user)) for user in node.users)
