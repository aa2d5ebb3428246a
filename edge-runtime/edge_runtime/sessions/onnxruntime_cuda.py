"""ONNX Runtime on an NVIDIA GPU, by its CUDA provider: the package `onnxruntime-gpu`, which replaces `onnxruntime`.

https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html

Arrays come from the host and go back to it, so the engine's own copies are as good as ours would be: binding inputs and
outputs to memory of the GPU pays where they stay there, which is measured by ``bench/gpu``.

*Not measured, and not run on a GPU yet*: its tests run against an engine that pretends to have the provider.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from edge_runtime.errors import EngineMissingError
from edge_runtime.sessions.onnxruntime import OnnxRuntimeSession

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
SETTINGS = {"use_tf32": "0"}
"""Float32 is computed as such: by default products would be rounded to 10 bits on GPUs from Ampere on."""


class OnnxRuntimeCudaSession(OnnxRuntimeSession):
    """Operators that the provider lacks run on the CPU, with ``threads``; a model of which none runs on the GPU is
    refused when it is opened. Times of layers are not told: on a GPU they overlap with what follows."""

    runtime = "onnxruntime-cuda"
    profiler = None

    def __init__(self, path: Path, threads: int, *, optimize: bool = True) -> None:
        super().__init__(path, threads, optimize=optimize)
        if CUDA not in self._model.get_providers():  # the engine falls back to the CPU without an error
            self.close()
            raise EngineMissingError(
                f"onnxruntime {self.version} could not load its CUDA provider and would run on the CPU: it needs an "
                "NVIDIA driver, CUDA and cuDNN of the versions in its table of requirements: "
                "python -m pip install 'onnxruntime-gpu[cuda,cudnn]'"
            )

    def _providers(self, engine: ModuleType) -> list[Any]:
        if CUDA not in engine.get_available_providers():
            raise EngineMissingError(
                f"onnxruntime {engine.__version__} is installed without its CUDA provider: python -m pip uninstall "
                "onnxruntime; python -m pip install 'onnxruntime-gpu[cuda,cudnn]'"
            )
        # CUDA and cuDNN as packages lie where the system's loader does not look.
        if preload := getattr(engine, "preload_dlls", None):
            preload()
        return [(CUDA, SETTINGS), CPU]

    @classmethod
    def product(cls, folder: Path, precision: str) -> None:
        return None
