"""Cross-layer equalization (Nagel et al., 2019, arXiv:1906.04721, section 4.1).

Where one layer's channel is read by the next only, its weights here may be divided by s and those there multiplied: the
network computes the same, as long as what stands between is positively homogeneous. With s = sqrt(r1 r2) / r2, r being
the channel's largest weight on either side, both sides get the range sqrt(r1 r2): channels become alike, so that one
scale for all of them wastes little. Chains of layers are gone through until nothing moves any more.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from compress.quantize.corrections.channels import Constants, Reader, divide, largest, makers, reader

ROUNDS = 40
"""Passes over all pairs at most; chains of ten layers settle within twenty."""

SETTLED = 1e-2
"""Largest factor, away from 1, that is not worth another pass."""

FARTHEST = 1e4
"""Largest factor, up or down, of one step: a channel of almost nothing is not blown up to its neighbours' size."""


def equalize(model: ir.Model) -> list[str]:
    """Equalize the float graph in place. Returns lines for the report."""
    pairs = list(_pairs(model))
    before = _spread(pairs)
    for _ in range(ROUNDS):
        if max((_balance(*pair) for pair in pairs), default=0) < SETTLED:
            break
    clipped = sum(1 for node in model.graph if node.op_type == "Clip" and reader(node.inputs[0].producer() or node))
    story = [
        f"equalization: {len(pairs)} pairs of layers; the ranges of a tensor's channels differ by a factor of "
        f"{_spread(pairs):.3g} (median), before by {before:.3g}"
        if pairs
        else "equalization: no two layers in a row that only each other depend on; nothing changed"
    ]
    if clipped:
        story.append(
            f"equalization left out {clipped} layers before a Clip: cut at a fixed value, scales do not pass it"
        )
    return story


def _pairs(model: ir.Model) -> Iterator[tuple[Constants, Reader]]:
    for node in model.graph:
        second = reader(node) if node.op_type in ("Conv", "Gemm") else None
        found = second and makers(second.value, second.axis, {node})
        if found is not None and found[0].op_type in ("Conv", "Gemm"):
            yield found[1], second


def _balance(first: Constants, second: Reader) -> float:
    """One step. Returns by how much a channel moved at most, as the logarithm of its factor."""
    there = second.largest
    here = largest(first, len(there))
    alive = (here > 0) & (there > 0)
    scale = np.ones(len(there))
    scale[alive] = np.clip(np.sqrt(here[alive].astype(np.float64) / there[alive]), 1 / FARTHEST, FARTHEST)
    divide(first, scale)
    second.multiply(scale)
    return float(np.abs(np.log(scale)).max())


def _spread(pairs: list[tuple[Constants, Reader]]) -> float:
    """Largest by smallest range of the channels that a layer puts out; median over the layers."""
    spreads = []
    for first, second in pairs:
        ranges = largest(first, len(second.largest))
        if (ranges > 0).any():
            spreads.append(ranges.max() / ranges[ranges > 0].min())
    return float(np.median(spreads)) if spreads else 1.0
