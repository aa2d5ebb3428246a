"""Running AOTInductor packages (``.pt2``), on the device that they were compiled for.

Arrays come from the host and go back to it. On a GPU the input is copied into memory that stays, through memory that
the GPU reads by itself, and everything is queued on one stream; a call waits once, for its answer.

*Not measured, and not run on a GPU yet*: packages for the CPU run through the same lines but for the copies and the
capture, which follow PyTorch's "CUDA semantics".
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from compress.models import package
from edge_runtime import EngineMissingError, ModelFileError, SessionError
from edge_runtime.sessions.base import OneAtATime

CAPTURE_WARM_UP = 3
"""Calls before a capture, in which libraries reserve what they need."""

MOST_GRAPHS = 16
"""Shapes for which a graph is kept: each keeps memory of its own. Beyond that, the oldest goes."""


class AotInductorSession(OneAtATime):
    """A compiled package. ``threads`` is of the CPU, and belongs to the whole process: opening a session sets it."""

    runtime = "aotinductor"
    suffixes = (".pt2",)
    engine = "torch"

    def __init__(self, path: Path, threads: int, *, optimize: bool = True) -> None:
        if not optimize:
            raise SessionError(f"{path}: a compiled package cannot run unoptimised; use onnxruntime for that")
        super().__init__(path, threads)
        self.version = torch.__version__
        said = package.read(path)
        _fits(path, said)
        self._device = torch.device(said.device)
        torch.set_num_threads(threads)
        try:
            # The loader itself: the object around it reads the call's specification anew in every call. One thread at a
            # time, or a capture would be refused.
            self._loader: Any = torch._inductor.aoti_load_package(str(path), run_single_threaded=True).loader
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            raise ModelFileError(f"{path}: PyTorch {self.version} cannot load this package: {reason}") from error
        self._describe(said.inputs, said.outputs)
        self._stream = torch.cuda.Stream() if self._device.type == "cuda" else None
        self._ready: dict[tuple, Callable[[], list[Tensor]]] = {}
        self._sent: dict[tuple, list[tuple[Tensor, Tensor]]] = {}

    @torch.inference_mode()
    def _compute(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        arrays = []
        for spec in self.inputs:
            array = inputs[spec.name]
            if not spec.accepts(array):
                raise ValueError("the package would read past its end")
            arrays.append(np.ascontiguousarray(array, array.dtype.newbyteorder("=")))
        if self._stream is None:
            answers = self._loader.run([torch.from_numpy(array) for array in arrays])
        else:
            answers = self._on_gpu(arrays)
        return {spec.name: _array(answer) for spec, answer in zip(self.outputs, answers, strict=True)}

    def _on_gpu(self, arrays: list[np.ndarray]) -> list[Tensor]:
        """The answers, on the host."""
        shapes = tuple(array.shape for array in arrays)
        with torch.cuda.stream(self._stream):
            if shapes not in self._ready:
                self._make_ready(shapes, arrays)
            for array, (pinned, device) in zip(arrays, self._sent[shapes], strict=True):
                pinned.copy_(torch.from_numpy(array))
                device.copy_(pinned, non_blocking=True)
            answers = [answer.to("cpu", non_blocking=True) for answer in self._ready[shapes]()]
            self._stream.synchronize()
        return answers

    def _make_ready(self, shapes: tuple, arrays: list[np.ndarray]) -> None:
        if len(self._ready) >= MOST_GRAPHS:
            oldest = next(iter(self._ready))
            del self._ready[oldest], self._sent[oldest]
        given = [torch.from_numpy(array) for array in arrays]
        self._sent[shapes] = [(tensor.pin_memory(), tensor.to(self._device)) for tensor in given]
        self._ready[shapes] = self._call([device for _, device in self._sent[shapes]])

    def _call(self, inputs: list[Tensor]) -> Callable[[], list[Tensor]]:
        """What computes the answers from ``inputs``, in which values change and nothing else."""
        return lambda: self._loader.run(inputs)

    def close(self) -> None:
        super().close()
        with self._lock:
            self._ready, self._sent, self._loader = {}, {}, None


class AotInductorGraphSession(AotInductorSession):
    """The same with a CUDA graph for each shape: captured when a shape comes first, then replayed in one launch."""

    runtime = "aotinductor-graph"

    def __init__(self, path: Path, threads: int, *, optimize: bool = True) -> None:
        super().__init__(path, threads, optimize=optimize)
        if self._stream is None:
            self.close()
            raise ModelFileError(f"{path}: was compiled for the CPU, which has no CUDA graphs; use aotinductor")

    def _call(self, inputs: list[Tensor]) -> Callable[[], list[Tensor]]:
        call = super()._call(inputs)
        for _ in range(CAPTURE_WARM_UP):
            call()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream):
            answers = call()

        def replay() -> list[Tensor]:
            graph.replay()
            return answers

        return replay


def _array(answer: Tensor) -> np.ndarray:
    # numpy has no bfloat16.
    return (answer.float() if answer.dtype is torch.bfloat16 else answer).numpy()


def _fits(path: Path, said: package.Package) -> None:
    """Raises EngineMissingError or ModelFileError when this machine is not what the package was compiled for."""
    if said.device == "cuda":
        if not torch.cuda.is_available():
            raise EngineMissingError(
                f"{path}: was compiled for an NVIDIA GPU, and PyTorch {torch.__version__} finds none here; it needs "
                "the driver, and a PyTorch built for CUDA"
            )
        major, minor = torch.cuda.get_device_capability()
        if said.capability and said.capability != f"{major}{minor}":
            wanted = f"{said.capability[:-1]}.{said.capability[-1]}"
            raise ModelFileError(
                f"{path}: was compiled for a GPU of compute capability {wanted}, and this one has {major}.{minor}: "
                "compile it here"
            )
    if said.machine and said.machine != platform.machine():
        raise ModelFileError(f"{path}: was compiled for {said.machine}, and this machine is {platform.machine()}")
