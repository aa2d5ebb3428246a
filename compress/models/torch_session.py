"""A saved PyTorch model behind the sessions' interface, so that the teacher's own row is measured like every other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from compress.models.spec import load
from edge_runtime import Session, TensorSpec


class TorchSession(Session):
    """Eager PyTorch in float32. ``path``: ``model.safetensors`` in a folder of :func:`compress.models.spec.save`.

    Workstation only. Torch's number of threads belongs to the whole process: opening a session sets it.
    """

    runtime = "pytorch"
    suffixes = (".safetensors",)

    def __init__(self, path: Path, threads: int, *, optimize: bool = True, project: Path | None = None) -> None:
        super().__init__(path, threads)
        self.version = torch.__version__
        torch.set_num_threads(threads)
        self._model, spec = load(path.parent, project)
        # With normalisation as its first layer a network casts whatever it is given.
        inputs = TensorSpec("input", "uint8" if spec.normalize else "float32", ("batch", None, None, None))
        self._describe((inputs,), (TensorSpec("logits", "float32", ("batch", None)),))

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"logits": self.predict(inputs["input"])}

    @torch.inference_mode()
    def predict(self, array: np.ndarray) -> np.ndarray:
        try:
            return self._model(torch.from_numpy(array)).numpy()
        except (RuntimeError, TypeError) as error:
            self._refused({"input": array}, error)
