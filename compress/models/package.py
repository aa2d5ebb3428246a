"""AOTInductor packages (``.pt2``): what one says about itself, read before its native code is loaded.

A package is a ZIP file with a library that PyTorch's compiler made for one kind of device, and JSON beside it. It does
not say what its inputs are; :mod:`compress.targets.aotinductor` therefore writes that into the metadata under
``compress.inputs`` and ``compress.outputs``: a JSON list of ``{"name", "dtype", "shape"}``, a free axis being its name.

**Opening a package runs code that came with it**, as with every native library: open only packages whose origin is
known. A signed bundle tells that.

https://docs.pytorch.org/docs/stable/torch.compiler_aot_inductor.html
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

from edge_runtime import ModelFileError, TensorSpec

INPUTS, OUTPUTS = "compress.inputs", "compress.outputs"
LARGEST = 1 << 20
"""Bytes of metadata, at most."""
EXAMPLE = (
    "torch._inductor.aoti_compile_and_package(..., inductor_configs={'aot_inductor.metadata': {'compress.inputs': "
    '\'[{"name": "input", "dtype": "float32", "shape": ["batch", 3, 224, 224]}]\', \'compress.outputs\': ...}})'
)


@dataclass(frozen=True)
class Package:
    """``device``: "cpu" or "cuda"; ``capability``: of the GPU it was compiled for, "90" being 9.0, empty for a CPU."""

    device: str
    machine: str
    capability: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def dump(specs: tuple[TensorSpec, ...]) -> str:
    """Inputs or outputs as they stand in the metadata."""
    return json.dumps([{"name": s.name, "dtype": s.dtype, "shape": list(s.shape)} for s in specs])


def read(path: Path) -> Package:
    """What the package says. Raises ModelFileError when it is none, or does not say enough."""
    found = _metadata(path)
    if INPUTS not in found or OUTPUTS not in found:
        raise ModelFileError(
            f"{path}: this package does not say what its inputs are, and would read beyond the memory of others; write "
            f"it with compress, or name them: {EXAMPLE}"
        )
    try:
        inputs, outputs = (tuple(map(_spec, json.loads(found[key]))) for key in (INPUTS, OUTPUTS))
    except (ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"{path}: its {INPUTS} or {OUTPUTS} cannot be read ({error!r}); as in {EXAMPLE}") from None
    return Package(
        found.get("AOTI_DEVICE_KEY", "cpu"),
        found.get("AOTI_MACHINE", ""),
        found.get("AOTI_COMPUTE_CAPABILITY", ""),
        inputs,
        outputs,
    )


def _metadata(path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            names = [entry for entry in archive.infolist() if "/data/aotinductor/" in f"/{entry.filename}"]
            for entry in names:
                if entry.filename.endswith("metadata.json"):
                    if entry.file_size > LARGEST:
                        raise ValueError(f"{entry.filename} has {entry.file_size} bytes")
                    found |= json.loads(archive.read(entry))
    except (OSError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise ModelFileError(f"{path}: not a .pt2 file that can be read: {error}") from error
    if not names:
        raise ModelFileError(
            f"{path}: holds no compiled model; if torch.export.save wrote it, compile it first: "
            "torch._inductor.aoti_compile_and_package(torch.export.load(...), package_path=...)"
        )
    return found


def _spec(value: dict) -> TensorSpec:
    name, dtype, shape = value["name"], value["dtype"], value["shape"]
    good = isinstance(name, str) and isinstance(dtype, str) and isinstance(shape, list)
    if not good or not all(size is None or isinstance(size, (int, str)) for size in shape):
        raise ValueError(f"{value!r:.100} is no input or output")
    return TensorSpec(name, dtype, tuple(shape))
