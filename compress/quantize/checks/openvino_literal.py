"""Two rewrites of an OpenVINO IR that tell what its int8 kernels do to sums.

``literal``: every FakeQuantize of at most 256 levels gets 257, the same ones and unused ones above. The low-precision
transformations, which turn FakeQuantize into integers, pass over such a number, and the CPU plugin computes in float
what the file says. (Elementwise operators instead, as in the definition, are more than its kernels can append: a
transformer's products did not compile.)

``halved``: every int8 weight at half its size with twice its scale. The network stays nearly the same, but no sum of
two products overflows 16 bits any more.

Definition: https://docs.openvino.ai/2026/documentation/openvino-ir-format/operation-sets/operation-specs/quantization/fake-quantize-1.html
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from compress.targets.openvino import save
from edge_runtime.sessions.openvino_core import core

if TYPE_CHECKING:
    import openvino

LEVELS = 257
"""Least number of levels that does not fit 8 bits."""


def write_literal(path: Path, out: Path) -> None:
    """Write the IR ``path`` so that the CPU plugin multiplies no integers."""
    from openvino import opset13 as ops
    from openvino.utils import replace_node

    model = core().read_model(path)
    for node in model.get_ordered_ops():
        if node.get_type_name() != "FakeQuantize" or (levels := node.get_attributes()["levels"]) >= LEVELS:
            continue
        value, low, high, out_low, out_high = node.input_values()
        longer = ops.constant(np.float32((LEVELS - 1) / (levels - 1)))
        ends = [ops.add(a, ops.multiply(ops.subtract(b, a), longer)) for a, b in ((low, high), (out_low, out_high))]
        replace_node(node, ops.fake_quantize(ops.minimum(value, high), low, ends[0], out_low, ends[1], LEVELS))
    model.validate_nodes_and_infer_types()
    save(model, out)


def write_halved(path: Path, out: Path) -> None:
    """Write the IR ``path`` with its int8 weights rounded to 7 bits."""
    from openvino import opset13 as ops

    model = core().read_model(path)
    for node in model.get_ordered_ops():
        scaled = _scaled(node)
        if scaled is None:
            continue
        multiply, scale = scaled
        weights = node.input_value(0).get_node().data
        node.input(0).replace_source_output(ops.constant(np.rint(weights / 2).astype(np.int8)).output(0))
        twice = ops.constant(2 * multiply.input_value(scale).get_node().data)
        multiply.input(scale).replace_source_output(twice.output(0))
    save(model, out)


def _scaled(node: openvino.Node) -> tuple[openvino.Node, int] | None:
    """Of a Convert of int8 weights: the Multiply that scales them, and which of its inputs is the scale."""
    if node.get_type_name() != "Convert" or node.input_value(0).get_node().get_type_name() != "Constant":
        return None
    readers = list(node.output(0).get_target_inputs())
    if node.get_input_element_type(0).get_type_name() != "i8" or len(readers) != 1:
        return None
    multiply, scale = readers[0].get_node(), 1 - readers[0].get_index()
    constant = multiply.get_type_name() == "Multiply" and multiply.input_value(scale).get_node()
    return (multiply, scale) if constant and constant.get_type_name() == "Constant" else None
