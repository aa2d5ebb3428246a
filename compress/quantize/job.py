"""What a quantization method is given: one network, one runtime's arithmetic, and the data it may look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from compress.data.dataset import Dataset

if TYPE_CHECKING:
    from torch import nn

    from compress.recipe import Quantize
    from compress.targets.scheme import Scheme
    from compress.training import Epoch


def _silent(*_: object) -> None:
    """Tells nobody."""


@dataclass(frozen=True)
class Job:
    """One file to make.

    ``onnx``: the float network as ONNX, one input ``input`` of raw values and one output ``logits``; ``model``: the
    same in the format of ``runtime``. ``out``: the file to write, alone in its folder, with that format's suffix.
    ``scheme``: None where nothing is computed in integers. ``data``: calibration, validation and training splits; the
    test split is not touched. ``network``, ``teacher``: make the float PyTorch networks anew, each from raw inputs to
    logits (N, classes); None for an ONNX teacher and where nothing is trained. ``resume``: a folder that survives a
    kill. ``measurable``: whether this machine's times are the target's.
    ``device``: "cpu" or "cuda", what a package is compiled for. ``kept``: filled by the method with the layers
    it leaves in float on purpose, and why. ``on_batch(done, total)`` and
    ``on_epoch(epoch)`` report progress, ``say`` warns.
    """

    runtime: str
    onnx: Path
    model: Path
    out: Path
    scheme: Scheme | None
    settings: Quantize
    data: Dataset
    network: Callable[[], nn.Module] | None = None
    teacher: Callable[[], nn.Module] | None = None
    resume: Path | None = None
    measurable: bool = True
    device: str = "cpu"
    kept: dict[str, str] = field(default_factory=dict)
    on_batch: Callable[[int, int], None] = _silent
    on_epoch: Callable[[Epoch], None] = _silent
    say: Callable[[str], None] = _silent

    def __post_init__(self) -> None:
        for name in ("onnx", "model", "out"):
            object.__setattr__(self, name, Path(getattr(self, name)))

    @property
    def calibration(self) -> np.ndarray:
        """The raw inputs (N, ...) that ranges are set from."""
        return self.data.calibration.inputs[: self.settings.samples]
