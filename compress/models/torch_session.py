"""A saved PyTorch model behind the sessions' interface, so that the teacher's own row is measured like every other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from compress.models.spec import load
from edge_runtime import Session, TensorSpec


class TorchSession(Session):
    """Eager PyTorch in float32. ``path``: the folder of :func:`compress.models.spec.save`. Workstation only.

    Torch's thread count belongs to the process: the one who measures sets it.
    """

    runtime = "pytorch"
    suffixes = ()

    def __init__(self, path: Path, threads: int, project: Path | None = None) -> None:
        super().__init__(path, threads)
        self.version = torch.__version__
        self._model, spec = load(path, project)
        channels = len(spec.normalize.mean) if spec.normalize else None
        inputs = TensorSpec("input", "uint8", ("batch", channels, None, None))
        self._describe((inputs,), (TensorSpec("logits", "float32", ("batch", None)),))

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"logits": self.predict(inputs["input"])}

    @torch.inference_mode()
    def predict(self, array: np.ndarray) -> np.ndarray:
        try:
            return self._model(torch.from_numpy(array)).numpy()
        except (RuntimeError, TypeError) as error:
            self._refused({"input": array}, error)
