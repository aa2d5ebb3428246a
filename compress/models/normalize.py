"""Input normalisation as the model's first layer, so that whoever feeds it (a device above all) gives raw values."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalized(nn.Module):
    """``model((x * scale - mean) / std)`` for raw ``x`` of any dtype, per channel (axis 1).

    ``scale`` is 1/255 for pixels; ``mean`` and ``std`` are then in the usual 0-to-1 units.
    """

    def __init__(self, model: nn.Module, mean: Sequence[float], std: Sequence[float], scale: float = 1 / 255) -> None:
        super().__init__()
        shape = (1, len(mean), 1, 1)
        std_ = torch.tensor(std, dtype=torch.float64)
        self.register_buffer("gain", (scale / std_).float().reshape(shape), persistent=False)
        self.register_buffer("offset", (-torch.tensor(mean).double() / std_).float().reshape(shape), persistent=False)
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x.float() * self.gain + self.offset)
