"""A QDQ ONNX file as OpenVINO IR, in the form in which OpenVINO's own quantizer writes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino
from openvino import opset13
from openvino.passes import ConstantFolding, Manager

from compress.errors import ExportError
from compress.targets.openvino import save
from edge_runtime.sessions.openvino_core import core


def to_openvino(onnx_path: Path | str, xml_path: Path | str) -> None:
    """Write a QDQ file as OpenVINO IR: its pairs become FakeQuantize nodes, its weights stay int8 constants.

    Raises :class:`ExportError`.
    """
    try:
        model = core().read_model(onnx_path)
    except RuntimeError as error:
        raise ExportError(f"{onnx_path}: OpenVINO cannot read it: {str(error).strip().splitlines()[-1]}") from error
    _fold_constants_but_weights(model)
    _join_pairs(model)
    save(model, Path(xml_path))


def _join_pairs(model: openvino.Model) -> None:
    """Each pair of activations, FakeQuantize to integers and the way back, becomes one FakeQuantize, as NNCF writes it;
    of weights, zero points that are 0 go."""
    joined: dict[tuple[str, float, float], openvino.Node] = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Subtract" and (zero := _number(node.input_value(1))) is not None and not zero.any():
            _redirect(node, node.input_value(0).get_node())
        if node.get_type_name() != "Multiply" or (scale := _number(node.input_value(1))) is None or scale.size > 1:
            continue
        inner, zero = node.input_value(0).get_node(), np.zeros(())
        if inner.get_type_name() == "Subtract":
            inner, zero = inner.input_value(0).get_node(), _number(inner.input_value(1))
        chain = [inner]
        while chain[-1].get_type_name() == "Convert":
            chain.append(chain[-1].input_value(0).get_node())
        quantizer = chain[-1]
        if len(chain) != 3 or quantizer.get_type_name() != "FakeQuantize" or zero is None:
            continue
        key = (quantizer.get_friendly_name(), float(scale), float(zero))
        if key not in joined:
            ends = [opset13.constant(np.float32((_number(quantizer.input_value(i)) - zero) * scale)) for i in (3, 4)]
            inputs = [quantizer.input_value(i) for i in range(3)]
            joined[key] = opset13.fake_quantize(*inputs, *ends, quantizer.get_attributes()["levels"])
        _redirect(node, joined[key])


def _number(output: openvino.Output) -> np.ndarray | None:
    node = output.get_node()
    return node.data.astype(np.float32) if node.get_type_name() == "Constant" else None


def _fold_constants_but_weights(model: openvino.Model) -> None:
    """Fold the arithmetic of biases and their shapes. Weights pose as parameters meanwhile, else they would be
    dequantized for good: a file four times larger, and float kernels."""
    posing = []
    for node in model.get_ops():
        if node.get_type_name() != "Constant":
            continue
        kind = node.get_element_type()
        if kind in (openvino.Type.i8, openvino.Type.u8) and _rank(node) > 1:
            parameter = opset13.parameter(node.get_output_shape(0), kind)
            _redirect(node, parameter)
            posing.append((node, parameter))
    model.add_parameters([parameter for _, parameter in posing])
    folding = Manager()
    folding.register_pass(ConstantFolding())
    folding.run_passes(model)
    for node, parameter in posing:
        _redirect(parameter, node)
        model.remove_parameter(parameter)


def _rank(node: openvino.Node) -> int:
    return len(node.get_output_shape(0))


def _redirect(old: openvino.Node, new: openvino.Node) -> None:
    for reader in list(old.output(0).get_target_inputs()):
        reader.replace_source_output(new.output(0))
