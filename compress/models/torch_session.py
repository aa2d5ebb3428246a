"""A saved PyTorch model behind the sessions' interface, so that the teacher's own row is measured like every other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from compress.models.module_times import TIMES, module_times
from compress.models.spec import load
from edge_runtime import EngineMissingError, Session, TensorSpec
from edge_runtime.sessions.layers import LayerTime


class TorchSession(Session):
    """Eager PyTorch in float32. ``path``: ``model.safetensors`` in a folder of :func:`compress.models.spec.save`.

    Workstation only. Torch's number of threads belongs to the whole process: opening a session sets it.
    """

    runtime = "pytorch"
    suffixes = (".safetensors",)
    engine = "torch"
    profiler = TIMES
    device: ClassVar[str] = "cpu"

    def __init__(
        self,
        path: Path,
        threads: int,
        *,
        optimize: bool = True,
        profile: bool = False,
        project: Path | None = None,
    ) -> None:
        super().__init__(path, threads)
        self.version = torch.__version__
        torch.set_num_threads(threads)
        model, spec = load(path.parent, project)
        self._model = model.to(self.device)
        # With normalisation as its first layer a network casts whatever it is given.
        inputs = TensorSpec("input", "uint8" if spec.normalize else "float32", ("batch", None, None, None))
        self._describe((inputs,), (TensorSpec("logits", "float32", ("batch", None)),))

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"logits": self.predict(inputs["input"])}

    def layers(self, call: Callable[[], object], warm_up: int, calls: int) -> list[LayerTime]:
        return module_times(self._model, call, warm_up, calls)

    @torch.inference_mode()
    def predict(self, array: np.ndarray) -> np.ndarray:
        try:
            return self._model(torch.from_numpy(array).to(self.device)).cpu().numpy()
        except (RuntimeError, TypeError) as error:
            self._refused({"input": array}, error)


class TorchCudaSession(TorchSession):
    """The same on an NVIDIA GPU; arrays come from the host and go back to it."""

    runtime = "pytorch-cuda"
    profiler = None  # a module returns before the GPU has done its work
    device: ClassVar[str] = "cuda"

    def __init__(self, path: Path, threads: int, *, optimize: bool = True, project: Path | None = None) -> None:
        if not torch.cuda.is_available():
            raise EngineMissingError(f"{path}: PyTorch {torch.__version__} sees no CUDA device here")
        super().__init__(path, threads, optimize=optimize, project=project)
