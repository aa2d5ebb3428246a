"""What must hold for any bytes at all: a reader refuses them by name or understands them completely, and nothing else.

The fuzzers (bundle/test_fuzz.py, serve/test_fuzz.py by hypothesis, fuzz.py by atheris) bring the bytes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from bundles import KEY
from forged import honest, zipped

from edge_runtime.bundle import archive, manifest, npy, signature
from edge_runtime.bundle.manifest import Tensor
from edge_runtime.errors import BundleError, EdgeRuntimeError, KeyFileError, RequestError
from edge_runtime.preprocess import tensor
from edge_runtime.serve.items import item
from edge_runtime.serve.protocol import Signature, parse, render
from edge_runtime.sessions.base import TensorSpec

ARCHIVE = zipped(honest())
SIGNATURE = Signature.of(
    (TensorSpec("pixels", "uint8", ("n", 1, 2, 2)), TensorSpec("tokens", "int64", ("n", None))),
    (TensorSpec("logits", "float32", ("n", 3)),),
)
TENSOR = Tensor("x", "float32", (None, 1, 1, 2))


def manifest_text(data: bytes) -> None:
    try:
        found = manifest.parse(data)
    except BundleError as error:
        assert str(error).startswith("manifest.json")
        return
    assert manifest.canonical(found) == data
    assert all(".." not in file.path and not file.path.startswith("/") for file in found.files)


def bundle(folder: Path, content: bytes, *, may_pass: bool) -> None:
    """Nothing is written outside of ``inner``, whoever signed it; ``may_pass``: it may be a sound bundle."""
    path, inner = folder / "m.edge", folder / "inner"
    inner.mkdir(exist_ok=True)
    path.write_bytes(content)
    written = []

    def store(place, blocks):
        written.append(place)
        for _ in blocks:
            pass

    full = False
    for read in (
        lambda: archive.read_signed_manifest(path, [KEY.public]),
        lambda: archive.unpack(path, inner, [KEY.public], store=store),
    ):
        try:
            read()
            # An edit within a file leaves the length, and is found by ``unpack`` alone.
            assert may_pass or (not full and len(content) == len(ARCHIVE))
        except BundleError:
            pass
        full = True
    assert all(inner in place.resolve().parents for place in written)


def array_file(content: bytes) -> None:
    try:
        array = npy.load(content)
    except ValueError:
        return
    assert array.nbytes <= len(content)
    assert array.dtype.kind in "biuf"


def key_file(folder: Path, data: bytes) -> None:
    path = folder / "k.pub"
    path.write_bytes(data)
    try:
        key = signature.load_public(path)
    except KeyFileError:
        return
    assert key.line().encode().rstrip() == data.rstrip()


def request(body: bytes, length: int | None) -> bool:
    """An inference request whose JSON is ``length`` long; whether it was understood."""
    try:
        found = parse(body, length, SIGNATURE)
    except RequestError as error:
        assert 400 <= error.status < 500 and len(str(error)) < 500
        return False
    assert {name: array.dtype.name for name, array in found.inputs.items()} == {"pixels": "uint8", "tokens": "int64"}
    assert {array.shape[0] for array in found.inputs.values()} == {found.samples}
    render(found, {"logits": np.zeros((found.samples, 3), np.float32)}, "m", "1")
    return True


def item_for_predict(content: bytes, media_type: bytes, boundary: bytes) -> None:
    """What /predict is asked, to the array that the model is given."""
    try:
        found = tensor.sample(item(content, media_type, media_type + b"; boundary=" + boundary), TENSOR)
    except EdgeRuntimeError as error:
        assert 400 <= error.status < 500
    else:
        assert (found.shape, found.dtype) == ((1, 1, 1, 2), np.float32)
