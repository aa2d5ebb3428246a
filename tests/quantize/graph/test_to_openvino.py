from __future__ import annotations

import onnx_ir as ir
import pytest

from compress.errors import ExportError
from compress.quantize.checks.coverage import int8_coverage
from compress.quantize.graph import qdq
from compress.quantize.graph.to_openvino import to_openvino
from edge_runtime import open_session


@pytest.mark.integration
def test_openvino_runs_a_qdq_file_in_int8_with_int8_weights(quantized, logits, small_data, tmp_path):
    source = quantized("x86-avx2", "onnxruntime")
    to_openvino(source, tmp_path / "model.xml")
    found = int8_coverage(tmp_path / "model.xml")
    assert (found.int8, found.floating) == ({"Convolution": 7, "FullyConnected": 1}, {})
    weights = sum(layer.integers.size for layer in qdq.layers(ir.load(source)))
    assert (tmp_path / "model.bin").stat().st_size < 1.6 * weights  # in float it would be four times
    with open_session(tmp_path / "model.xml") as session:
        answers = session.predict(small_data.test.inputs)
    assert (answers.argmax(1) == logits(source).argmax(1)).mean() > 0.98


def test_openvino_refuses_what_is_no_model(tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"\x08\x01broken")
    with pytest.raises(ExportError, match=r"broken\.onnx: OpenVINO cannot read it"):
        to_openvino(tmp_path / "broken.onnx", tmp_path / "model.xml")
    assert [path.name for path in tmp_path.iterdir()] == ["broken.onnx"]
