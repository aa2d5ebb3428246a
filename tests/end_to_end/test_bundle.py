"""A run's models on their way to a device, with nothing made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from bundles import KEY

from compress.bundle import bundle
from compress.bundle.choose import bundled
from edge_runtime import open_session
from edge_runtime.bundle import archive

pytestmark = pytest.mark.integration


def test_every_variant_of_a_run_becomes_a_bundle_that_answers_as_it_did_here(finished, tmp_path):
    for number, variant in enumerate(bundled(finished.results)):
        folder = tmp_path / str(number)
        folder.mkdir()
        made = bundle(finished.out, tmp_path / f"{number}.edge", KEY, variant=variant.id)
        found = archive.unpack(made.path, folder, [KEY.public])
        found.verify()
        golden = found.manifest.golden
        with open_session(found.file(found.manifest.model), found.manifest.runtime) as session:
            outputs = session.predict(found.array(golden["inputs"]))
        expected = found.array(golden["outputs"])
        assert np.abs(outputs - expected).max() <= golden["absolute"]
        assert (outputs.argmax(1) == expected.argmax(1)).mean() >= golden["argmax"]


def test_another_runtime_answers_within_the_limits_and_another_model_does_not(finished, tmp_path):
    """OpenVINO's kernels stand for those of another processor: they read the same ONNX file."""
    for variant in bundled(finished.results):
        if (variant.target, variant.runtime) != ("this-machine", "onnxruntime"):
            continue
        folder = tmp_path / variant.stage
        folder.mkdir()
        made = bundle(finished.out, tmp_path / f"{variant.stage}.edge", KEY, variant=variant.id)
        found = archive.unpack(made.path, folder, [KEY.public])
        golden, expected = found.manifest.golden, found.array("golden/outputs.npy")
        inputs = found.array("golden/inputs.npy")
        with open_session(found.file(found.manifest.model), "openvino") as session:
            assert np.abs(session.predict(inputs) - expected).max() <= golden["absolute"]
        with open_session(found.file(found.manifest.model), "onnxruntime") as session:
            turned = session.predict(np.ascontiguousarray(inputs[:, :, ::-1, ::-1]))  # answers to other questions
        assert np.abs(turned - expected).max() > golden["absolute"]
