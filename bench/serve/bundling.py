"""A model file of the quickstart as a signed bundle, and a home that trusts it."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np

from edge_runtime import open_session
from edge_runtime.bundle import archive, signature
from edge_runtime.bundle.manifest import File, Manifest, Tensor


def bundled(model: Path, folder: Path) -> Path:
    """Write folder/m.edge; return the home beside it."""
    private, public = signature.new("bench")
    pixels = np.random.default_rng(0).integers(0, 256, (8, 1, 28, 28), dtype=np.uint8)
    with open_session(model) as session:
        logits = session.predict(pixels)
    files = {
        "model.onnx": model.read_bytes(),
        "inputs.npy": _npy(pixels),
        "outputs.npy": _npy(logits),
        "sbom.cdx.json": json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1}).encode(),
    }
    manifest = Manifest(
        name="bench",
        sequence=1,
        target="any",
        runtime="onnxruntime",
        runtime_minimum="1.17",
        edge_runtime_minimum="0.1",
        model="model.onnx",
        inputs=(Tensor("input", "uint8", (None, 1, 28, 28)),),
        outputs=(Tensor("logits", "float32", (None, 10)),),
        preprocess={"kind": "tensor"},
        labels=tuple(map(str, range(10))),
        files=tuple(File(path, hashlib.sha256(data).hexdigest(), len(data)) for path, data in files.items()),
        golden={
            "inputs": "inputs.npy", "outputs": "outputs.npy", "absolute": 1e-3, "argmax": 1.0, "p99": None,
            "memory": None,
        },
        sbom="sbom.cdx.json",
        provenance={"licence": "Apache-2.0"},
    )  # fmt: skip
    archive.write(folder / "m.edge", manifest, files, private)
    keys = folder / "home" / "keys"
    keys.mkdir(parents=True)
    (keys / "bench.pub").write_text(public.line())
    return folder / "home"


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()
