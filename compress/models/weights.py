"""Named tensors into a network, with an error that a person can act on when they do not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from compress.errors import ModelError

_COUNTER = "num_batches_tracked"  # only used by batch normalisation without momentum; old checkpoints lack it


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file; raises :class:`ModelError` when it is missing or damaged."""
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: not a readable safetensors file ({error}); is it whole?") from error


def assign(model: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Copy ``tensors`` into ``model``, which must have exactly these names and shapes.

    Raises :class:`ModelError` with the first few missing, unexpected and wrong-shaped names and how many there are,
    or naming a tensor that holds NaN or infinity.
    """
    own = model.state_dict()
    missing = [key for key in own if key not in tensors and not key.endswith(_COUNTER)]
    unexpected = [key for key in tensors if key not in own]
    shaped = [
        f"{key} ({_shape(tensors[key])} in the file, {_shape(value)} in the network)"
        for key, value in own.items()
        if key in tensors and tensors[key].shape != value.shape
    ]
    if missing or unexpected or shaped:
        parts = (("missing", missing), ("unexpected", unexpected), ("of another shape", shaped))
        listed = "; ".join(f"{len(keys)} {what}: {_some(keys)}" for what, keys in parts if keys)
        raise ModelError(f"{where}: does not fit the architecture and its arguments; {listed}")
    for key, value in tensors.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise ModelError(f"{where}: {key} holds NaN or infinity: its training diverged")
    model.load_state_dict(dict(tensors), strict=False)  # only counters can still be missing


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"


def _some(keys: Sequence[str], most: int = 4) -> str:
    return ", ".join(keys[:most]) + (", ..." if len(keys) > most else "")
