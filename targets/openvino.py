"""ONNX to OpenVINO's IR: ``.xml`` for the graph and ``.bin`` for the weights, which stay float32.

The core reads the ONNX file itself, without the conversion tool and the usage statistics that it sends.
"""

from __future__ import annotations

import re
from pathlib import Path

import openvino
from openvino.passes import ConstantFolding, Manager

from compress.errors import ExportError
from compress.targets.draft import draft
from edge_runtime.sessions.openvino_core import core

LAYERS = ("Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul")


def export(onnx_path: Path | str, xml_path: Path | str) -> None:
    """Write ``onnx_path`` as IR at ``xml_path``, its weights beside it. Raises :class:`ExportError`."""
    try:
        model = core().read_model(onnx_path)
    except RuntimeError as error:
        raise ExportError(f"{onnx_path}: OpenVINO cannot read it: {str(error).strip().splitlines()[-1]}") from error
    folding = Manager()
    folding.register_pass(ConstantFolding())  # else every bias brings the arithmetic of its own shape along
    folding.run_passes(model)
    save(model, Path(xml_path))


def save(model: openvino.Model, xml_path: Path) -> None:
    """Write the graph and its weights, the same bytes for the same model.

    OpenVINO names what has no name by a counter of the whole process; inner nodes are therefore numbered anew. Layers,
    of which reports speak, keep their names.
    """
    for index, node in enumerate(model.get_ordered_ops()):
        kind, name = node.get_type_name(), node.get_friendly_name().removesuffix("/WithoutBiases")
        if kind in LAYERS and not re.fullmatch(rf"{kind}_\d+", name):
            node.set_friendly_name(name)
        elif kind not in ("Parameter", "Result"):
            node.set_friendly_name(f"n{index}")
    with draft(xml_path) as file:
        openvino.save_model(model, file, compress_to_fp16=False)
