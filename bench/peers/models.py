"""The files that are timed: a chain of equal layers, so that 21 are 1.05 times the work of 20.

A layer is a 3x3 convolution of ``CHANNELS`` channels, bias and ReLU. Names are those that optimum-benchmark expects of
an image classifier, so that it takes the very same file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CHANNELS = 32
USUAL = 16
"""Height and width: 20 layers take about a millisecond on one core of today."""
AXES = {"input.1": CHANNELS, "input.2": USUAL, "input.3": USUAL}
"""Of the usual model, for a runtime whose files do not tell them."""
LARGE = 48
"""Height and width of a model of 20 layers that takes about 10 milliseconds."""
SMALL, SMALL_LAYERS = 4, 10
"""Height and width, and layers, of a model that takes about 50 microseconds."""
OPSET = 17


def chain(path: Path, layers: int, size: int) -> Path:
    """Write (1, CHANNELS, size, size) float32 -> the same, through ``layers`` layers, as ONNX."""
    draw = np.random.default_rng(0)
    scale = np.sqrt(2 / (9 * CHANNELS))  # He et al. (2015): values neither grow nor vanish, whatever the depth
    nodes, weights = [], []
    for index in range(layers):
        weight = (scale * draw.standard_normal((CHANNELS, CHANNELS, 3, 3))).astype(np.float32)
        arrays = {f"weight_{index}": weight, f"bias_{index}": np.zeros(CHANNELS, np.float32)}
        weights += [numpy_helper.from_array(array, name) for name, array in arrays.items()]
        entry = "pixel_values" if index == 0 else f"active_{index - 1}"
        leave = "logits" if index == layers - 1 else f"active_{index}"
        nodes.append(helper.make_node("Conv", [entry, *arrays], [f"sum_{index}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"sum_{index}"], [leave]))
    shape = [1, CHANNELS, size, size]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("pixel_values", "logits")]
    graph = helper.make_graph(nodes, path.stem, ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def as_ir(path: Path) -> Path:
    """The same file as OpenVINO's, beside it, in float32."""
    import openvino

    out = path.with_suffix(".xml")
    openvino.save_model(openvino.convert_model(path), out, compress_to_fp16=False)
    return out
