from __future__ import annotations

import numpy as np
import pytest

from compress.errors import ExportError
from compress.models.counts import count_onnx
from compress.targets.openvino import export
from edge_runtime import open_session

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def converted(exported, tmp_path_factory):
    path = tmp_path_factory.mktemp("openvino") / "model.xml"
    export(exported, path)
    return path


def test_openvino_gives_the_logits_of_the_onnx_file(exported, converted, small_data):
    inputs = small_data.test.inputs[:16]
    with open_session(exported) as onnxruntime, open_session(converted) as openvino:
        expected = onnxruntime.predict(inputs)
        np.testing.assert_allclose(openvino.predict(inputs), expected, atol=1e-5 * np.abs(expected).max())


def test_weights_stay_float32(exported, converted):
    assert converted.with_suffix(".bin").stat().st_size >= 4 * count_onnx(exported).params


def test_a_file_that_is_not_onnx_is_refused(tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"nothing")
    with pytest.raises(ExportError, match=r"broken\.onnx: OpenVINO cannot read it"):
        export(broken, tmp_path / "model.xml")
    assert [file.name for file in tmp_path.iterdir()] == ["broken.onnx"]
