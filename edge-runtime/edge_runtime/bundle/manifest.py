"""What a bundle says of itself: one JSON object, written in one way only.

``parse`` is strict: an unknown key, another schema version, a path that could lead elsewhere, a number that JSON
readers disagree about, or bytes that ``canonical`` would not have written are all refused. A device acts on what it
understands completely, or not at all. Signatures are checked before these lines are reached (``archive``).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from edge_runtime import limits
from edge_runtime.bundle import json_text
from edge_runtime.bundle.checks import Checked, fail
from edge_runtime.errors import BundleTooLargeError, ManifestError

SCHEMA = 1
MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
TARGETS = ("x86_64-linux", "aarch64-linux", "any")
LARGEST = 2**53 - 1
"""Largest whole number that every JSON reader understands alike (RFC 8259, section 6)."""


@dataclass(frozen=True)
class File:
    """One file of a bundle. ``sha256``: lower-case hexadecimal; ``size``: bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Tensor:
    """One input or output. ``dtype``: numpy's name; an axis of None may have any size, and axis 0 is the batch."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything a device must know before it runs the model; ``files`` lists all but this and its signature.

    ``name`` and ``sequence``: of bundles with one name, a device goes to a larger sequence number only. ``target`` and
    ``features``: where the model runs, and the CPU features it needs (names of ``edge_runtime.cpu``). ``golden``: the
    paths of ``inputs`` and ``outputs`` (.npy), ``absolute`` (largest difference of an output), ``argmax`` (least share
    of equal answers, 0..1), ``p99`` (seconds a call may take, or None) and ``memory`` (bytes, or None). ``build``:
    for TensorRT, how the engine is built on the device. ``expires``: after it the bundle is not installed (RFC 3339,
    UTC). ``raise_floor``: once this bundle is committed, the device refuses smaller sequence numbers for good.
    ``provenance`` and ``measured`` are told to people, and nothing is decided by them.
    """

    name: str
    sequence: int
    target: str
    features: tuple[str, ...] = ()
    runtime: str
    runtime_minimum: str
    edge_runtime_minimum: str
    model: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    preprocess: dict[str, Any]
    labels: tuple[str, ...] = ()
    files: tuple[File, ...]
    golden: dict[str, Any]
    reference: str | None = None
    build: dict[str, Any] | None = None
    sbom: str
    provenance: dict[str, Any] = field(default_factory=dict)
    measured: dict[str, Any] = field(default_factory=dict)
    expires: str | None = None
    raise_floor: int | None = None
    schema: int = SCHEMA

    def size(self) -> int:
        """Bytes of all the files that it lists."""
        return sum(file.size for file in self.files)


def canonical(manifest: Manifest) -> bytes:
    """The manifest's only form: JSON with sorted keys and no spaces, in UTF-8. Raises ManifestError."""
    return _bytes(asdict(manifest))


def parse(data: bytes) -> Manifest:
    """Read what ``canonical`` wrote. Raises ManifestError, or BundleTooLargeError for more than the cap."""
    if len(data) > limits.MANIFEST_BYTES:
        raise BundleTooLargeError(
            f"{MANIFEST}: {len(data)} bytes, where {limits.MANIFEST_BYTES} are allowed; make a bundle with fewer labels"
        )
    value = json_text.load(data)
    manifest = _read(Checked(value, MANIFEST))
    if canonical(manifest) != data:
        fail(MANIFEST, "is not in the form that `compress bundle` writes (sorted keys, no spaces, shortest numbers)")
    return manifest


def check(manifest: Manifest) -> None:
    """Raise ManifestError for a manifest, made here, that no device would accept."""
    parse(canonical(manifest))


def _bytes(value: Any) -> bytes:
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ManifestError(f"{MANIFEST}: cannot be written as JSON: {error}; use plain values") from error


def _read(top: Checked) -> Manifest:
    found = top.value.get("schema") if isinstance(top.value, dict) else None
    if type(found) is not int or found != SCHEMA:
        raise ManifestError(
            f"{MANIFEST}: has schema {found!r:.40}, and this edge-runtime reads {SCHEMA}; update edge-runtime"
        )
    top.keys(*Manifest.__dataclass_fields__)
    files = tuple(
        File(item["path"].path(), item["sha256"].matching("sha256"), item["size"].whole(0, limits.BUNDLE_BYTES))
        for item in top["files"].list(1, limits.BUNDLE_FILES)
        if item.keys("path", "sha256", "size")
    )
    paths = _paths(files)
    sequence = top["sequence"].whole(1, LARGEST)
    manifest = Manifest(
        schema=SCHEMA,
        name=top["name"].matching("name"),
        sequence=sequence,
        target=top["target"].one_of(*TARGETS),
        features=tuple(item.matching("word") for item in top["features"].list(0, 64)),
        runtime=top["runtime"].matching("word"),
        runtime_minimum=top["runtime_minimum"].matching("version"),
        edge_runtime_minimum=top["edge_runtime_minimum"].matching("version"),
        model=top["model"].path(paths),
        inputs=_tensors(top["inputs"]),
        outputs=_tensors(top["outputs"]),
        preprocess=_preprocess(top["preprocess"], paths),
        labels=tuple(item.text() for item in top["labels"].list(0, limits.LABELS)),
        files=files,
        golden=_golden(top["golden"], paths),
        reference=top["reference"].optional(lambda item: item.path(paths)),
        build=top["build"].optional(_build),
        sbom=top["sbom"].path(paths),
        provenance=top["provenance"].object(),
        measured=top["measured"].object(),
        expires=top["expires"].optional(lambda item: item.moment()),
        raise_floor=top["raise_floor"].optional(lambda item: item.whole(0, sequence)),
    )
    if len(set(manifest.features)) < len(manifest.features):
        fail(f"{MANIFEST}: features", "names one twice")
    return manifest


def _paths(files: tuple[File, ...]) -> frozenset[str]:
    """The files' paths, of which none is there twice, is a folder of another, or is one of the archive's own."""
    paths = frozenset(file.path for file in files)
    if len(paths) < len(files):
        fail(f"{MANIFEST}: files", "names a path twice")
    for path in paths:
        if path in (MANIFEST, SIGNATURE):
            fail(f"{MANIFEST}: files", f"names {path}, which every bundle has")
        parts = path.split("/")
        for end in range(1, len(parts)):
            if (folder := "/".join(parts[:end])) in paths | {MANIFEST, SIGNATURE}:
                fail(f"{MANIFEST}: files", f"names {folder!r:.80} both as a file and as a folder")
    if sum(file.size for file in files) > limits.BUNDLE_BYTES:
        fail(f"{MANIFEST}: files", f"has more than {limits.BUNDLE_BYTES} bytes in all")
    return paths


def _tensors(value: Checked) -> tuple[Tensor, ...]:
    tensors = tuple(
        Tensor(
            item["name"].text(),
            item["dtype"].one_of(*DTYPES),
            tuple(axis.optional(lambda a: a.whole(0, LARGEST)) for axis in item["shape"].list(0, limits.AXES)),
        )
        for item in value.list(1, limits.TENSORS)
        if item.keys("name", "dtype", "shape")
    )
    if len({tensor.name for tensor in tensors}) < len(tensors):
        fail(value.where, "names a tensor twice")
    return tensors


DTYPES = ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
DTYPES += ("float16", "float32", "float64")


def _preprocess(value: Checked, paths: frozenset[str]) -> dict[str, Any]:
    """How an item that people have (a picture, a text) becomes the model's input."""
    kind = value.member("kind").one_of("image", "text", "tensor")
    if kind == "image":
        value.keys("kind", "size", "channels", "resize")
        size = [axis.whole(1, limits.IMAGE_SIDE) for axis in value["size"].list(2, 2)]
        channels = value["channels"].whole(1, 3)
        if channels == 2:
            fail(value.where, "has 2 channels; an image has 1 or 3")
        return {"kind": kind, "size": size, "channels": channels, "resize": value["resize"].one_of("bilinear")}
    if kind == "text":
        value.keys("kind", "tokenizer", "length")
        length = value["length"].whole(1, limits.TOKENS)
        return {"kind": kind, "tokenizer": value["tokenizer"].path(paths), "length": length}
    value.keys("kind")
    return {"kind": kind}


def _golden(value: Checked, paths: frozenset[str]) -> dict[str, Any]:
    value.keys("inputs", "outputs", "absolute", "argmax", "p99", "memory")
    found = {name: value[name].path(paths) for name in ("inputs", "outputs")}
    for name, path in found.items():
        if not path.endswith(".npy"):
            fail(f"{value.where}: {name}", "is not an .npy file")
    return found | {
        "absolute": value["absolute"].number(0, 1e30),
        "argmax": value["argmax"].number(0, 1),
        "p99": value["p99"].optional(lambda item: item.number(0, 1e6)),
        "memory": value["memory"].optional(lambda item: item.whole(1, LARGEST)),
    }


def _build(value: Checked) -> dict[str, Any]:
    """The plan by which ``sessions.tensorrt`` makes the engine: least, usual and largest batch."""
    value.keys("builder", "batch", "typed")
    batch = [item.whole(1, 65536) for item in value["batch"].list(3, 3)]
    if batch != sorted(batch):
        fail(f"{value.where}: batch", "must be the least, the usual and the largest, in this order")
    return {
        "builder": value["builder"].one_of("tensorrt"),
        "batch": batch,
        "typed": value["typed"].one_of("strongly"),
    }
