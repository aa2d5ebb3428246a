"""The least model there is, for measurements whose figures do not matter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def dense_model(path: Path) -> Path:
    """ONNX: float32 (1, 16) -> (1, 8)."""
    weights = numpy_helper.from_array(np.ones((16, 8), np.float32), "w")
    shapes = {"x": [1, 16], "y": [1, 8]}
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "dense", ends[:1], ends[1:], [weights])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return path
