"""Learned rounding (AdaRound: Nagel et al., 2020, arXiv:2004.10568): each weight goes up or down as its layer's output
wants, which is often not to the nearest integer.

Layer by layer, behind the layers rounded before: h(V) in 0..1 is added to the rounded-down weights, and V is learned to
minimise the squared error of the layer's output against the float network's (the paper's asymmetric reconstruction),
with a regulariser that drives every h to 0 or 1 as its exponent falls (sections 3.3 and 5). Scales stay, so the file
and its kernels do too.

A layer's squared error is a quadratic form in the change D of its weights: with the error R that it has before,
||R - D X||² = ||R||² - 2 <D, R X'> + <D, D X X'>. So two small matrices, summed over the samples once, replace them in
every step. And as channels do not mix in it, one that learning does not help keeps its nearest integers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
import torch
from torch.nn import functional

from compress.quantize.corrections import layerwise
from compress.quantize.graph import qdq
from compress.suggest import few

if TYPE_CHECKING:
    from compress.targets.scheme import Scheme

ITERATIONS = 400
LEARNING_RATE = 0.03
REGULARISATION = 1.0
"""Weight of the regulariser's mean over a channel, against an error of 1 for nearest rounding of that channel."""

EXPONENTS = (20.0, 2.0)
"""Of the regulariser, from the end of the warm-up to the end."""

WARM_UP = 0.2
"""Share of the iterations without regulariser."""

STRETCH = (-0.1, 1.1)
"""Ends of the sigmoid before it is cut to 0..1 (Louizos et al., 2018, arXiv:1712.01312)."""

POSITIONS = 1 << 15
"""Output positions that a layer's matrices are summed over at most; more say the same again."""


def learn(
    quantized: ir.Model,
    original: ir.Model,
    samples: np.ndarray,
    scheme: Scheme,
    on_layer: Callable[[int, int], None] = layerwise.silent,
) -> list[str]:
    """Round the weights of the QDQ graph ``quantized`` anew, in place; ``original``: the float graph it was made from.

    ``samples``: raw calibration inputs, of which :func:`layerwise.few` are used. ``on_layer(done, total)`` reports
    progress. Deterministic. Returns lines for the report.
    """
    limit = 64 if scheme.weight_bits == 7 else 127
    chosen = layerwise.few(samples, original)
    shares, left = [], []
    for step in layerwise.walk(quantized, original, chosen, on_layer):
        layer, twin = step.layer, step.twin
        columns = _columns(layer.node, twin, step.incoming)
        if columns is None:
            left.append(layer.name)
            continue
        weights = _rows(qdq.stored(twin.inputs[1]), layer.node)
        scale = _rows(np.broadcast_to(layer.along(layer.scale), layer.integers.shape), layer.node)[..., :1]
        form = _form(weights, columns, _targets(layer.node, twin, step.target))
        integers, share = _round(weights / scale, _rows(layer.integers, layer.node), scale, form, limit)
        layer.store_weights(_unrows(integers, layer))
        shares.append(share)
    story = [
        f"learned rounding: the squared error of {len(shares)} layers' outputs fell to {np.median(shares):.0%} of what "
        f"nearest rounding leaves (median; {min(shares):.0%} to {max(shares):.0%}), over {len(chosen)} samples"
        if shares
        else "learned rounding: there is no layer that it could round; nothing changed"
    ]
    if left:
        story.append(
            f"learned rounding left out {few(left, layerwise.SHOWN)}: it knows 1-D and 2-D convolutions and matrix "
            "products"
        )
    return story


@dataclass(frozen=True)
class _Form:
    """The mean squared error of a layer's channels as a function of the change D of its weights.

    ``gram``: X X' (groups, inputs, inputs); ``cross``: R X' (groups, channels, inputs); ``rest``: ||R||² (groups,
    channels), all divided by the number of columns of X.
    """

    gram: torch.Tensor
    cross: torch.Tensor
    rest: torch.Tensor

    def error(self, change: torch.Tensor) -> torch.Tensor:
        """(groups, channels), for ``change`` (groups, channels, inputs)."""
        return ((change @ self.gram - 2 * self.cross) * change).sum(dim=2) + self.rest

    def slope(self, change: torch.Tensor) -> torch.Tensor:
        """The gradient of the summed error: one product of matrices, where autograd would take two."""
        with torch.no_grad():
            return 2 * (change @ self.gram - self.cross)


def _form(weights: np.ndarray, columns: np.ndarray, targets: np.ndarray) -> _Form:
    """``weights``: (groups, channels, inputs); ``columns``: (groups, inputs, positions); ``targets``: what they should
    give, (groups, channels, positions)."""
    step = -(-columns.shape[2] // POSITIONS)
    columns, targets = columns[..., ::step], targets[..., ::step]
    rest = targets - weights @ columns
    transposed, count = columns.transpose(0, 2, 1), columns.shape[2]
    parts = (columns @ transposed / count, rest @ transposed / count, np.square(rest).mean(axis=2))
    return _Form(*(torch.from_numpy(part.astype(np.float32)) for part in parts))


def _round(
    weights: np.ndarray, nearest: np.ndarray, scale: np.ndarray, form: _Form, limit: int
) -> tuple[np.ndarray, float]:
    """The integers, and their error as a share of nearest rounding's.

    ``weights``: in units of ``scale``; ``nearest``: the integers as they are; all (groups, channels, inputs or 1).
    """
    units, steps = (torch.from_numpy(array.astype(np.float32)) for array in (weights, scale))
    start, down = torch.from_numpy(nearest.astype(np.float32)), units.floor()

    def error(integers: torch.Tensor) -> torch.Tensor:
        return form.error((integers - units) * steps)

    before = error(start).clamp_min(torch.finfo(torch.float32).tiny)
    low, high = STRETCH
    logits = torch.logit((units - down - low) / (high - low)).requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=LEARNING_RATE)
    warm = int(WARM_UP * ITERATIONS)
    for iteration in range(ITERATIONS):
        up = (torch.sigmoid(logits) * (high - low) + low).clamp(0, 1)
        change = ((down + up).clamp(-limit, limit) - units) * steps
        loss = (form.slope(change) * change / before[..., None]).sum()  # has the error's gradient
        if iteration >= warm:
            left = 0.5 * (1 + math.cos(math.pi * (iteration - warm) / (ITERATIONS - warm)))
            exponent = EXPONENTS[1] + (EXPONENTS[0] - EXPONENTS[1]) * left
            loss = loss + REGULARISATION * (1 - (2 * up - 1).abs().pow(exponent)).mean(dim=2).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        learned = (down + (logits >= 0).float()).clamp(-limit, limit)
        learned = torch.where((error(learned) < before)[..., None], learned, start)
        return learned.numpy(), float(error(learned).sum() / before.sum())


def _columns(node: ir.Node, twin: ir.Node, incoming: np.ndarray) -> np.ndarray | None:
    """What the layer's weights are multiplied with: (groups, inputs of a group, positions). None: not known."""
    if node.op_type in ("Gemm", "MatMul"):
        plain = node.attributes.get_float("alpha", 1.0) == 1 and not node.attributes.get_int("transA", 0)
        rows = incoming.reshape(-1, incoming.shape[-1])
        return rows.T[None] if plain and qdq.stored(twin.inputs[1]).ndim == 2 else None
    spatial = incoming.ndim - 2
    if node.op_type != "Conv" or spatial not in (1, 2) or node.attributes.get_string("auto_pad", "NOTSET") != "NOTSET":
        return None
    attribute = partial(_ints, node, 2 - spatial)
    kernel = attribute("kernel_shape", twin.inputs[1].const_value.shape[2:])
    before, after = np.split(np.array(_ints(node, 0, "pads", [0] * 2 * spatial)), 2)
    tensor = torch.from_numpy(incoming.reshape(*incoming.shape[:2], *[1] * (2 - spatial), *incoming.shape[2:]))
    pads = [int(size) for pair in zip(before[::-1], after[::-1], strict=True) for size in pair]
    found = functional.unfold(
        functional.pad(tensor, pads),
        kernel,
        dilation=attribute("dilations", [1] * spatial),
        stride=attribute("strides", [1] * spatial),
    )
    # (samples, inputs, positions of a sample) -> (groups, inputs of a group, positions of all)
    groups = node.attributes.get_int("group", 1)
    return found.permute(1, 0, 2).reshape(groups, found.shape[1] // groups, -1).numpy()


def _ints(node: ir.Node, ones: int, name: str, default: Sequence[int]) -> tuple[int, ...]:
    """An attribute, with so many ones before it: a 1-D convolution is a 2-D one of height 1."""
    return (*[1] * ones, *node.attributes.get_ints(name, tuple(default)))


def _targets(node: ir.Node, twin: ir.Node, target: np.ndarray) -> np.ndarray:
    """The float layer's outputs without its bias: (groups, channels of a group, positions)."""
    if node.op_type == "Conv":
        groups = node.attributes.get_int("group", 1)
        rows = np.moveaxis(target, 1, 0).reshape(groups, target.shape[1] // groups, -1)
    else:
        rows = target.reshape(-1, target.shape[-1]).T[None]
    bias = twin.inputs[2] if len(twin.inputs) > 2 else None
    return rows if bias is None else rows - qdq.stored(bias).reshape(rows.shape[0], -1, 1)


def _rows(weights: np.ndarray, node: ir.Node) -> np.ndarray:
    """Weights as (groups, channels of a group, inputs)."""
    groups = node.attributes.get_int("group", 1)
    weights = weights if qdq.output_axis(node) == 0 else weights.T
    return weights.reshape(groups, weights.shape[0] // groups, -1)


def _unrows(integers: np.ndarray, layer: qdq.Layer) -> np.ndarray:
    shape = layer.integers.shape
    return integers.reshape(shape) if qdq.output_axis(layer.node) == 0 else integers[0].T
