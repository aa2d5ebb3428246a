"""Real bundles of a tiny model, for every test that needs one.

from bundles import KEY, make_bundle           # setup.cfg puts this folder on the tests' path
path = make_bundle(tmp_path, sequence=3)       # tmp_path / "digits-3.edge", signed by KEY
unpack(path, folder, [KEY.public])
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_runtime.bundle import archive
from edge_runtime.bundle.manifest import File, Manifest, Tensor
from edge_runtime.bundle.signature import PrivateKey

KEY = PrivateKey(b"edge-runtime tests, key number 1", "tests")
OTHER_KEY = PrivateKey(b"edge-runtime tests, key number 2", "strangers")
LABELS = tuple(f"class-{index}" for index in range(10))


def make_bundle(
    folder: Path,
    *,
    sequence: int = 1,
    key: PrivateKey = KEY,
    model: bytes | None = None,
    files: Mapping[str, bytes] | None = None,
    path: Path | None = None,
    **changes: Any,
) -> Path:
    """A signed bundle in ``folder``, called digits-<sequence>.edge unless ``path`` is given.

    ``model``: another ONNX file's bytes (see ``tiny_model``). ``files``: further or other contents by path in the
    bundle. ``changes``: of the manifest's fields.
    """
    path = path or folder / f"digits-{sequence}.edge"
    manifest, contents = make_manifest(sequence=sequence, model=model, files=files, **changes)
    archive.write(path, manifest, contents, key)
    return path


def make_manifest(
    *, sequence: int = 1, model: bytes | None = None, files: Mapping[str, bytes] | None = None, **changes: Any
) -> tuple[Manifest, dict[str, bytes]]:
    """A manifest, and the files that it lists."""
    inputs, outputs = golden(model or tiny_model())
    contents = {
        "model/model.onnx": model or tiny_model(),
        "golden/inputs.npy": npy(inputs),
        "golden/outputs.npy": npy(outputs),
        "sbom.cdx.json": json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1}).encode(),
        **(files or {}),
    }
    manifest = Manifest(
        name="digits",
        sequence=sequence,
        target="any",
        runtime="onnxruntime",
        runtime_minimum="1.17",
        edge_runtime_minimum="0.1",
        model="model/model.onnx",
        inputs=(Tensor("input", "uint8", (None, 1, 28, 28)),),
        outputs=(Tensor("logits", "float32", (None, 10)),),
        preprocess={"kind": "image", "size": [28, 28], "channels": 1, "resize": "bilinear"},
        labels=LABELS,
        files=listed(contents),
        golden={
            "inputs": "golden/inputs.npy",
            "outputs": "golden/outputs.npy",
            "absolute": 1e-3,
            "argmax": 1.0,
            "p99": None,
            "memory": None,
        },
        sbom="sbom.cdx.json",
        provenance={"licence": "MIT"},
    )
    return replace(manifest, **changes), contents


def listed(contents: Mapping[str, bytes]) -> tuple[File, ...]:
    return tuple(File(path, hashlib.sha256(data).hexdigest(), len(data)) for path, data in contents.items())


@cache
def tiny_model(seed: int = 0) -> bytes:
    """An ONNX file: uint8 (batch, 1, 28, 28) -> logits float32 (batch, 10). Another seed gives another model."""
    random = np.random.default_rng(seed)
    weights = {
        "kernel": random.normal(size=(4, 1, 3, 3)).astype(np.float32) / 255,
        "dense": random.normal(size=(4 * 13 * 13, 10)).astype(np.float32) / 26,
    }
    nodes = [
        helper.make_node("Cast", ["input"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["pixels", "kernel"], ["features"], strides=[2, 2]),
        helper.make_node("Relu", ["features"], ["positive"]),
        helper.make_node("Flatten", ["positive"], ["flat"]),
        helper.make_node("MatMul", ["flat", "dense"], ["logits"]),
    ]
    return onnx_file("tiny", nodes, weights)


def onnx_file(name: str, nodes: list[onnx.NodeProto], weights: Mapping[str, np.ndarray]) -> bytes:
    """A model of these nodes: ``input`` uint8 (batch, 1, 28, 28) to ``logits`` float32 (batch, 10)."""
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("input", TensorProto.UINT8, ["batch", 1, 28, 28])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


@cache
def golden(model: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Eight inputs, and what ONNX Runtime makes of them; zeros for a model that it does not load."""
    import onnxruntime

    inputs = np.random.default_rng(7).integers(0, 256, size=(8, 1, 28, 28), dtype=np.uint8)
    try:
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        return inputs, session.run(None, {session.get_inputs()[0].name: inputs})[0]
    except Exception:  # a model broken on purpose; ONNX Runtime's errors share no base class of their own
        return inputs, np.zeros((8, 10), np.float32)


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()
