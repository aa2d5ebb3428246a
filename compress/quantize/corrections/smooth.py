"""SmoothQuant (Xiao et al., 2022, arXiv:2211.10438): activations with a few channels of outliers become smooth.

For Y = X W, channel i of X is divided by s_i = max|X_i|^a / max|W_i|^(1-a) and row i of W multiplied by it. Y stays,
the spread of X goes over into W, whose channels 8 bits take more easily. The division goes into the constants that make
X (layer normalisation, a product, the layer before); where there are none, a Mul of its own stays in the graph.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnxruntime

from compress.quantize.corrections.channels import Reader, divide, makers, reader
from compress.quantize.graph import qdq
from compress.quantize.graph.ranges import batches

INSERTED = "smooth."
"""What names of inserted nodes begin with. They stay in float: rounding before them would keep the outliers."""

SMALLEST = 1e-5
"""Lower bound of both ranges, as in the paper's code: channels that are always zero keep a scale."""


def smooth(model: ir.Model, samples: np.ndarray, alpha: float) -> list[str]:
    """Smooth what matrix products and 1x1 convolutions read, in place. ``samples``: raw inputs; ``alpha``: 0 to 1.

    Returns lines for the report.
    """
    groups = _groups(model)
    reach = _reach(model, {value: readers[0].axis for value, readers in groups.items()}, samples)
    folded = inserted = 0
    for value, readers in groups.items():
        weights = np.max([each.largest for each in readers], axis=0)
        scale = np.maximum(reach[value], SMALLEST) ** alpha / np.maximum(weights, SMALLEST) ** (1 - alpha)
        scale = np.maximum(scale, SMALLEST)
        found = makers(value, readers[0].axis, {each.node for each in readers})
        if found is not None:
            divide(found[1], scale)
            folded += 1
        elif any(each.node.op_type == "Conv" for each in readers):
            continue  # a Mul over a whole picture costs more than it gains
        else:
            _insert(model, value, readers, scale)
            inserted += 1
        for each in readers:
            each.multiply(scale)
    if not folded + inserted:
        return ["SmoothQuant: no matrix product with constant weights; nothing changed"]
    return [
        f"SmoothQuant (alpha {alpha:g}): {folded + inserted} activations smoothed, {folded} by the constants that make "
        f"them, {inserted} by a Mul of their own"
    ]


def _groups(model: ir.Model) -> dict[ir.Value, list[Reader]]:
    """Activations, and who reads them: layers that share an input (query, key, value) share its scale."""
    groups: dict[ir.Value, list[Reader]] = {}
    for node in model.graph:
        found = reader(node)
        if found is None or (node.op_type == "Conv" and not _pointwise(node)):
            continue
        if not found.value.is_graph_input() and found.value.const_value is None:
            groups.setdefault(found.value, []).append(found)
    return {value: readers for value, readers in groups.items() if len({each.axis for each in readers}) == 1}


def _pointwise(node: ir.Node) -> bool:
    return set(node.inputs[1].const_value.shape[2:]) == {1} and node.attributes.get_int("group", 1) == 1


def _reach(model: ir.Model, axes: dict[ir.Value, int], samples: np.ndarray) -> dict[ir.Value, np.ndarray]:
    """(channels,) largest magnitude of each activation along its axis of channels, batch by batch."""
    values, reach = list(axes), {}
    if not values:
        return reach
    proto = ir.to_proto(model)
    known = {output.name for output in proto.graph.output}
    proto.graph.output.extend(ir.to_proto(value) for value in values if value.name not in known)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for batch in batches(samples):
        for value, array in zip(values, session.run([v.name for v in values], {"input": batch}), strict=True):
            rest = tuple(index for index in range(array.ndim) if index != axes[value] % array.ndim)
            found = np.abs(array).max(axis=rest)
            reach[value] = np.maximum(reach.get(value, 0), found)
    return reach


def _insert(model: ir.Model, value: ir.Value, readers: list[Reader], scale: np.ndarray) -> None:
    name = f"{INSERTED}{value.name}"
    factor = qdq.constant(model.graph, f"{name}.scale", (1 / scale).astype(np.float32))
    node = ir.node("Mul", [value, factor], name=name)
    node.outputs[0].name, node.outputs[0].shape, node.outputs[0].type = name, value.shape, value.type
    model.graph.insert_before(readers[0].node, node)
    for each in readers:
        each.node.replace_input_with(0, node.outputs[0])
