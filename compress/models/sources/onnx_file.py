"""An ONNX file as the teacher, brought into the form in which every export leaves: the stages after it need not care.

That form: one input ``input`` of raw values in the data's dtype, one output ``logits``, a free batch axis,
normalisation inside. Such a teacher can be quantized and measured; it has no PyTorch module to prune or distil.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, version_converter

from compress.data.dataset import Dataset
from compress.errors import ModelError
from compress.models.onnx_info import check, info
from compress.recipe import Normalize
from edge_runtime import SessionError, open_session

# Per-channel quantization needs DequantizeLinear's axis, which came with opset 13.
LEAST_OPSET = 13


def adopt(source: Path, out: Path, normalize: Normalize | None, data: Dataset) -> None:
    """Write ``source`` to ``out`` with standard names, raw inputs (N, C, H, W) and a free batch axis.

    Raises :class:`ModelError` when the file does not fit the data or computes only one batch size.
    """
    check(info(source), data)
    model = onnx.load(source)
    if model.opset_import[0].version < LEAST_OPSET:
        model = version_converter.convert_version(model, LEAST_OPSET)
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    feed = next(value for value in graph.input if value.name not in weights)
    inner, outer = feed.name, graph.output[0].name
    front, constants = _raw_values(feed, normalize, data.test.inputs.dtype)
    for node in graph.node:
        node.input[:] = ["normalized" if name == inner else name for name in node.input]
        node.input[:] = ["logits" if name == outer else name for name in node.input]
        node.output[:] = ["logits" if name == outer else name for name in node.output]
    nodes = [*front, *graph.node]
    graph.ClearField("node")
    graph.node.extend(nodes)
    graph.initializer.extend(constants)
    dtype = helper.np_dtype_to_tensor_dtype(data.test.inputs.dtype)
    graph.ClearField("input")
    graph.input.append(helper.make_tensor_value_info("input", dtype, ["batch", *data.input_shape]))
    graph.ClearField("output")
    graph.output.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(data.classes)]))
    graph.ClearField("value_info")  # shapes inside may still state the old batch size
    try:
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, out)
        with open_session(out) as session:
            session.predict(data.calibration.inputs[:2])
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, SessionError) as error:
        raise ModelError(
            f"{source}: does not run on a batch of 2 inputs of shape {data.input_shape}; export it again with a "
            f"dynamic batch axis ({error})"
        ) from error


def _raw_values(
    feed: onnx.ValueInfoProto, normalize: Normalize | None, raw: np.dtype
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """The nodes from ``input`` to ``normalized`` and their constants."""
    wanted = helper.tensor_dtype_to_np_dtype(feed.type.tensor_type.elem_type)
    if normalize is None:
        return [helper.make_node("Cast", ["input"], ["normalized"], to=helper.np_dtype_to_tensor_dtype(wanted))], []
    std = np.asarray(normalize.std, np.float64).reshape(1, -1, 1, 1)
    mean = np.asarray(normalize.mean, np.float64).reshape(1, -1, 1, 1)
    constants = [
        numpy_helper.from_array((normalize.scale / std).astype(wanted), "normalize_gain"),
        numpy_helper.from_array((-mean / std).astype(wanted), "normalize_offset"),
    ]
    return [
        helper.make_node("Cast", ["input"], ["normalize_cast"], to=helper.np_dtype_to_tensor_dtype(wanted)),
        helper.make_node("Mul", ["normalize_cast", "normalize_gain"], ["normalize_scaled"]),
        helper.make_node("Add", ["normalize_scaled", "normalize_offset"], ["normalized"]),
    ], constants
