"""OpenVINO's performance counters, as times of one inference's kernels.

For every node of the compiled graph the CPU plugin keeps the mean over all its executions since the model was compiled,
the slow first ones included, in whole microseconds. So they are read twice, and the earlier sum is taken off the later.
One interruption of some milliseconds would still show as a slow layer: hence several groups of calls, each on a model
compiled anew, and the median of their means.
https://docs.openvino.ai/2026/openvino-workflow/running-inference/inference-devices-and-modes/query-device-properties.html
"""

from __future__ import annotations

import re
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from edge_runtime.sessions.layers import Conversion, LayerTime

GROUPS = 5
TIMES = "OpenVINO's counters, in microseconds rounded down: median of five means over a fifth of the calls each"

Totals = dict[str, float]
"""Seconds in all executions so far, by node."""

CONVERSIONS: dict[str, Conversion] = {
    "Convert": "type",
    "FakeQuantize": "type",
    "Quantize": "type",
    "Reorder": "layout",
    "Transpose": "layout",
}
PRECISIONS = {"i8": "int8", "u8": "int8", "fp32": "float32", "f32": "float32", "fp16": "float16", "f16": "float16"}
PRECISIONS |= {"bf16": "bfloat16"}
NOT_COMPUTED = ("Input", "Parameter", "Result", "Output", "Const", "Constant")
CONVOLUTIONS = ("Convolution", "GroupConvolution")
PRODUCTS = ("MatMul", "FullyConnected")


def read_counts(request: Any, done: int) -> Totals:
    """``done``: calls so far, all of which the means are of."""
    return {
        info.node_name: info.real_time.total_seconds() * done
        for info in request.profiling_info
        if info.status == info.Status.EXECUTED
    }


def layer_times(compiled: Any, before: Totals, after: Totals, calls: int) -> list[LayerTime]:
    """The kernels that ran, in order; each once in every call."""
    nodes = [(node, node.get_rt_info()) for node in compiled.get_runtime_model().get_ordered_ops()]
    nodes = [(node, facts) for node, facts in nodes if node.get_friendly_name() in after]
    nodes.sort(key=lambda entry: int(_fact(entry[1], "execOrder") or 0))
    found = []
    for node, facts in nodes:
        name, kind = node.get_friendly_name(), _fact(facts, "layerType")
        if kind in NOT_COMPUTED:
            continue
        kernel = _fact(facts, "primitiveType")
        made_of = tuple(filter(None, _fact(facts, "originalLayersNames").split(",")))
        found.append(
            LayerTime(
                name=name,
                type=kind,
                kernel=kernel,
                seconds=max(0.0, after[name] - before.get(name, 0.0)) / calls,
                precision=PRECISIONS.get(kernel.lower().rpartition("_")[2]),
                conversion=CONVERSIONS.get(kind),
                macs=_macs(node, kind),
                made_of=made_of,
            )
        )
    return found


def medians(groups: list[list[LayerTime]]) -> list[LayerTime]:
    """Layers of the first group, with the median seconds of all. Numbers in the names of layers that the plugin made
    differ from one compilation to the next; their order does not."""
    kinds = [layer.type for layer in groups[0]]
    alike = [group for group in groups if [layer.type for layer in group] == kinds]
    return [
        replace(same[0], seconds=float(np.median([layer.seconds for layer in same])))
        for same in zip(*alike, strict=True)
    ]


def _fact(facts: Any, key: str) -> str:
    return facts[key].astype(str) if key in facts else ""


def _macs(node: Any, kind: str) -> int | None:
    """Multiply-accumulates from the shapes in the compiled graph; None where they, or the layout, are not plain."""
    if not kind.startswith((*CONVOLUTIONS, *PRODUCTS)):
        return None
    shapes = [_sizes(port.get_source_output().get_partial_shape()) for port in node.inputs()[:2]]
    result = _sizes(node.get_output_partial_shape(0))
    if len(shapes) < 2 or None in shapes or result is None:
        return None
    source, weights = shapes
    if kind.startswith(CONVOLUTIONS):
        # (out, in, ...), and of a grouped one (groups, out, in, ...).
        return prod(result) * prod(weights[1 if len(weights) == len(source) else 2 :])
    return prod(result) * source[-1]


def _sizes(shape: Any) -> tuple[int, ...] | None:
    """A shape that may hold dynamic axes: None then."""
    sizes = re.findall(r"[^\[\],{}]+", shape.to_string())
    return tuple(map(int, sizes)) if all(size.isdigit() for size in sizes) else None
