"""A network that computes in 16-bit floats: raw values are normalised as ever, and its logits leave as float32."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from compress.models.normalize import Normalized

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
TOLERANCE = {"fp32": 1e-4, "fp16": 2e-2, "bf16": 1e-1}
"""Largest difference of a logit from float32's, relative to the largest logit: what rounding to 11 or 8 bits in every
layer may add up to. It tells a format from a mistake; accuracy is measured elsewhere."""


class Cast(nn.Module):
    """``network`` in a number format of its own, between floats."""

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self.dtype = network.to(dtype), dtype

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x.to(self.dtype)).float()


def narrowed(model: nn.Module, precision: str) -> nn.Module:
    """A copy of ``model`` that computes in ``precision`` behind its normalisation; itself for fp32."""
    dtype = DTYPES[precision]
    if dtype is torch.float32:
        return model
    if isinstance(model, Normalized):
        narrow = copy.deepcopy(model)
        narrow.model = Cast(narrow.model, dtype)
        return narrow
    return Cast(copy.deepcopy(model), dtype)
