"""What, besides its settings and inputs, can change what a step makes: code, libraries, files, data and the machine."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import compress
from compress.digest import digest, file_digest
from edge_runtime.machine import Machine, detect

# Raise a kind's number whenever its code changes what it makes from the same inputs.
VERSIONS = {"teacher": 1, "prune": 1, "distill": 1, "export": 1, "quantize": 1, "evaluate": 1, "measure": 1}
TORCH = ("torch", "numpy", "safetensors")
LIBRARIES = {
    "teacher": TORCH,
    "prune": (*TORCH, "torch-pruning"),
    "distill": TORCH,
    "export/onnx": ("torch", "onnx", "onnxscript"),
    "export/openvino": ("openvino",),
    "quantize/onnxruntime": ("onnxruntime", "onnx", "numpy"),
    "quantize/openvino": ("openvino", "nncf", "numpy"),
    "evaluate/pytorch": TORCH,
    "evaluate/onnxruntime": ("onnxruntime",),
    "evaluate/openvino": ("openvino",),
    "measure/onnxruntime": ("onnxruntime", "torch", "edge-runtime"),
    "measure/openvino": ("openvino", "torch", "edge-runtime"),
}


@dataclass(frozen=True)
class Facts:
    """What a plan is keyed by beyond the recipe. ``data``: the data's fingerprint, or None while it is not loaded (keys
    that need it are then None too). ``samples``: sizes of its splits, for the estimates."""

    data: str | None = None
    samples: dict[str, int] | None = None
    machine: Machine = field(default_factory=detect)

    def instructions(self) -> dict[str, Any]:
        """What of the machine decides the figures a model computes."""
        return {"arch": self.machine.arch, "features": sorted(self.machine.features)}

    def identity(self) -> dict[str, Any]:
        """What of the machine decides how fast it computes them."""
        here = self.machine
        return self.instructions() | {"cpu": here.cpu, "cores": here.cores, "model": here.model, "memory": here.memory}


def libraries(kind: str, variant: str) -> dict[str, str]:
    """Versions of the installed packages that matter to a kind of step; ``variant``: its format or runtime."""
    names = LIBRARIES.get(kind) or LIBRARIES.get(f"{kind}/{variant}", ())
    return {"compress": compress.__version__} | {name: _version(name) for name in names}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # a plan can be made where it cannot be run
        return "not installed"


def content(path: Path) -> str:
    """SHA-256 of a file, or of all files of a folder by name."""
    if path.is_dir():
        return digest({p.relative_to(path).as_posix(): file_digest(p) for p in _files(path.rglob("*"))})
    return file_digest(path)


def code(name: str | None, folder: Path) -> str | None:
    """SHA-256 of the sources behind the user's own ``package.module:callable``: of the whole top-level package, found
    from the recipe's folder and the working folder as on import, without running it. None for a built-in name."""
    if name is None or ":" not in name:
        return None
    top = name.partition(":")[0].partition(".")[0]
    spec = PathFinder.find_spec(top, [str(folder), str(Path.cwd()), *sys.path])
    if spec is None:
        return None
    roots = [Path(root) for root in spec.submodule_search_locations or ()]
    sources = [(root, p) for root in roots for p in _files(root.rglob("*.py"))]
    if not roots and spec.origin:
        sources = [(Path(spec.origin).parent, Path(spec.origin))]
    return digest({p.relative_to(root).as_posix(): file_digest(p) for root, p in sources})


def _files(paths: Iterable[Path]) -> list[Path]:
    return sorted(path for path in paths if path.is_file())
