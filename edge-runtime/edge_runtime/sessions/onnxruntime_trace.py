"""ONNX Runtime's profile: a trace of events, from which the times of one inference's kernels are read.

The format is Chrome's: `ts` and `dur` in whole microseconds. `model_run` events of the category `Session` are the
calls; within each lie the events of the category `Node`.
https://onnxruntime.ai/docs/performance/tune-performance/profiling-tools.html
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import SessionError
from edge_runtime.sessions.layers import Conversion, LayerTime, middle_mean

TIMES = "ONNX Runtime's profiler: mean of the middle half of the calls, each in whole microseconds"

KERNEL = "_kernel_time"
CONTROL = ("If", "Loop", "Scan")
"""Operators whose time holds that of the operators in their bodies, which have events of their own."""

CONVERSIONS: dict[str, Conversion] = {
    "QuantizeLinear": "type",
    "DequantizeLinear": "type",
    "DynamicQuantizeLinear": "type",
    "Cast": "type",
    "Transpose": "layout",
    "ReorderInput": "layout",
    "ReorderOutput": "layout",
}
INTEGER = ("QLinear", "QGemm", "QAttention", "DynamicQuantize", "Integer")
"""In the names of operators that compute in integers, whatever they are given."""

TYPES = {"float": "float32", "double": "float64", "uint8": "int8"}
"""The trace's words, where ours are others."""


def read_trace(path: Path, calls: int) -> list[LayerTime]:
    """The kernels of the last ``calls`` calls in ``path``, in the order they run."""
    events = json.loads(path.read_text(encoding="utf-8"))
    runs = sorted((e["ts"], e["dur"]) for e in events if e["cat"] == "Session" and e["name"] == "model_run")[-calls:]
    if len(runs) < calls:
        raise SessionError(f"onnxruntime's trace has {len(runs)} of {calls} calls: it was cut short; ask for fewer")
    starts = [start for start, _ in runs]
    times: dict[tuple[str, str], list[list[int]]] = defaultdict(lambda: [[] for _ in runs])
    first: dict[tuple[str, str], dict[str, Any]] = {}
    nodes = [e for e in events if e["cat"] == "Node" and e["name"].endswith(KERNEL) and e["ts"] >= starts[0]]
    for event, own in _own_times(sorted(nodes, key=lambda event: (event["ts"], -event["dur"]))):
        # Names need not be unique; positions in the graph are, but a body of a loop numbers its own.
        key = event["name"].removesuffix(KERNEL), event["args"].get("node_index", "")
        times[key][bisect_right(starts, event["ts"]) - 1].append(own)
        first.setdefault(key, event)
    return [_layer(key[0], first[key]["args"], times[key]) for key in first]


def _own_times(events: list[dict[str, Any]]) -> list[tuple[dict[str, Any], int]]:
    """Each event with its microseconds, of control flow without what its body takes."""
    own = [event["dur"] for event in events]
    around: list[int] = []
    for index, event in enumerate(events):
        end = event["ts"] + event["dur"]
        while around and events[around[-1]]["ts"] + events[around[-1]]["dur"] < end:
            around.pop()
        if around:
            own[around[-1]] -= event["dur"]
        if event["args"].get("op_name") in CONTROL:
            around.append(index)
    return [(event, max(0, time)) for event, time in zip(events, own, strict=True)]


def _layer(name: str, facts: dict[str, Any], times: list[list[int]]) -> LayerTime:
    operator = facts.get("op_name", "")
    return LayerTime(
        name=name,
        type=operator,
        kernel=facts.get("provider", "").removesuffix("ExecutionProvider"),
        seconds=middle_mean([sum(one) for one in times]) * 1e-6,
        calls=round(float(np.median([len(one) for one in times]))),
        precision=_precision(operator, facts),
        conversion=CONVERSIONS.get(operator),
    )


def _precision(operator: str, facts: dict[str, Any]) -> str | None:
    if any(word in operator for word in INTEGER):
        return "int8"
    inputs = facts.get("input_type_shape") or facts.get("output_type_shape") or []
    kind = next((kind for tensor in inputs for kind in tensor), None)
    return None if kind is None else TYPES.get(kind, kind)
