"""What, besides its settings and inputs, can change what a step makes: code, libraries, files, data and the machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import compress
from compress.digest import digest, file_digest
from compress.energy import sensors_here
from compress.packages import version
from compress.recipe import Measure
from compress.recipe_names import own_code
from edge_runtime.machine import Machine, detect

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from onnx import TensorProto

# Raise a kind's number whenever its code changes what it makes from the same inputs.
VERSIONS = {"teacher": 1, "prune": 1, "distill": 1, "export": 3, "quantize": 5, "evaluate": 1, "measure": 4}
SAVED_WEIGHTS, SAVED_SPEC = "model.safetensors", "model.json"  # as in compress.models.spec, which needs torch
TORCH = ("torch", "numpy", "safetensors")
COMPILER = ("torch", "triton")
"""Of packages: PyTorch writes C++ for a processor, and Triton's language for a GPU."""
LIBRARIES = {
    "teacher": TORCH,
    "prune": (*TORCH, "torch-pruning"),
    "distill": TORCH,
    "export/onnx": ("torch", "onnx", "onnxscript"),
    "export/openvino": ("openvino",),
    "quantize/onnxruntime": ("onnxruntime", "onnx", "numpy", "torch", "torchao"),
    "export/litert": ("torch", "ai-edge-litert"),
    "quantize/tensorrt": ("onnxruntime", "onnx", "onnxscript", "numpy", "torch", "torchao"),
    "quantize/litert": ("ai-edge-quantizer", "ai-edge-litert", "numpy"),
    "quantize/openvino": ("openvino", "nncf", "onnxruntime", "onnx", "numpy"),
    "evaluate/pytorch": TORCH,
    "evaluate/onnxruntime": ("onnxruntime",),
    "evaluate/openvino": ("openvino",),
    "evaluate/litert": ("ai-edge-litert",),
    "measure/litert": ("ai-edge-litert", "torch", "edge-runtime"),
    "measure/onnxruntime": ("onnxruntime", "torch", "edge-runtime"),
    "measure/openvino": ("openvino", "torch", "edge-runtime"),
    "evaluate/tensorrt": ("tensorrt",),
    "measure/tensorrt": ("tensorrt", "torch", "edge-runtime"),
    "evaluate/onnxruntime-cuda": ("onnxruntime-gpu",),
    "measure/onnxruntime-cuda": ("onnxruntime-gpu", "torch", "edge-runtime"),
    "export/aotinductor": COMPILER,
    "quantize/onnxruntime-cuda": ("torch", "onnx", "onnxscript", "onnxruntime"),
    "quantize/aotinductor": (*COMPILER, "onnxruntime", "onnx"),
    "evaluate/aotinductor": ("torch",),
    "measure/aotinductor": ("torch", "edge-runtime"),
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
        found = self.instructions() | {"cpu": here.cpu, "cores": here.cores, "model": here.model, "memory": here.memory}
        return found | ({"gpu": list(here.gpu)} if here.gpu else {})


def measurement(settings: Measure) -> dict[str, Any]:
    """What of a recipe's ``measure`` decides what is measured. Energy counts where it is asked for, with the sensors
    that can be read now; what is modelled is made of the times, and needs no other measurement."""
    plain = settings.model_dump(mode="json", exclude={"energy", "meters", "model_energy"})
    if not settings.measures_energy:
        return plain
    return plain | {"energy": True, "meters": settings.meters, "sensors": sensors_here(settings)}


def libraries(kind: str, variant: str) -> dict[str, str]:
    """Versions of the installed packages that matter to a kind of step; ``variant``: its format or runtime.

    A plan can be made where it cannot be run.
    """
    names = LIBRARIES.get(kind) or LIBRARIES.get(f"{kind}/{variant.removesuffix('-graph')}", ())
    return {"compress": compress.__version__} | {name: version(name) or "not installed" for name in names}


def content(path: Path) -> str:
    """SHA-256 of a file, with the files that are read with it, or of all files of a folder by name."""
    if path.is_dir():
        return digest({p.relative_to(path).as_posix(): file_digest(p) for p in _files(path.rglob("*"))})
    if names := beside(path):
        return digest([file_digest(path), {name: file_digest(path.parent / name) for name in names}])
    return file_digest(path)


def beside(path: Path) -> list[str]:
    """Names, from its folder, of the files without which a model's file is not whole: ONNX external data, an IR's
    weights, a saved model's description. Engines refuse data outside of that folder, and so it is none of them."""
    names = {SAVED_SPEC} if path.name == SAVED_WEIGHTS else set()
    if path.suffix == ".xml":
        names = {path.with_suffix(".bin").name}
    if path.suffix == ".onnx":
        places = (entry.value for t in _tensors(path) for entry in t.external_data if entry.key == "location")
        names = {PurePosixPath(place).as_posix() for place in places if place and not _outside(place)}
    return sorted(name for name in names if (path.parent / name).is_file())


def _outside(place: str) -> bool:
    return PurePosixPath(place).is_absolute() or ".." in PurePosixPath(place).parts


def _tensors(path: Path) -> Iterator[TensorProto]:
    """All tensors of an ONNX file, without their external data; none where it is damaged, which its stage reports."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        yield from _inside(onnx.load(path, load_external_data=False), onnx.TensorProto)
    except DecodeError:
        return


def _inside(message: Message, kind: type[Message]) -> Iterator[Message]:
    """The messages of ``kind`` anywhere in ``message``: in its graph, in functions, in branches."""
    if isinstance(message, kind):
        yield message
        return
    for kept, value in message.ListFields():
        if kept.message_type is not None:
            for part in [value] if hasattr(value, "ListFields") else value:
                yield from _inside(part, kind)


def code(name: str | None, folder: Path) -> str | None:
    """SHA-256 of the sources behind the user's own ``package.module:callable``: of the whole top-level package, found
    as on import, without running it. None for a built-in name."""
    if name is None or ":" not in name:
        return None
    spec = own_code(name, folder)
    if spec is None:
        return None
    roots = [Path(root) for root in spec.submodule_search_locations or ()]
    sources = [(root, p) for root in roots for p in _files(root.rglob("*.py"))]
    if not roots and spec.has_location:
        sources = [(Path(spec.origin).parent, Path(spec.origin))]
    return digest({p.relative_to(root).as_posix(): file_digest(p) for root, p in sources})


def _files(paths: Iterable[Path]) -> list[Path]:
    return sorted(path for path in paths if path.is_file())
