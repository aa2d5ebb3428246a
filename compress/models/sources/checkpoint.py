"""A teacher from a file of weights: safetensors, or a PyTorch state dict that needs no code to be read.

Training scripts save the same weights under many names: wrapped by DataParallel (``module.``), compiled
(``_orig_mod.``), as a member of a larger module (``model.``), or beside the optimizer in a bigger dict. These are
unwrapped; anything else that does not fit the architecture is an error that lists the names.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from compress.errors import ModelError
from compress.models.weights import read_safetensors
from compress.recipe_names import CHECKPOINTS

PREFIXES = ("module.", "_orig_mod.", "model.", "network.", "net.", "backbone.")
CONTAINERS = ("state_dict", "model_state_dict", "model", "network", "net")


def read(path: Path) -> dict[str, Tensor]:
    """The named tensors of ``path``. Raises :class:`ModelError`; never runs code from the file."""
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    if path.suffix not in CHECKPOINTS:
        allowed = ", ".join(CHECKPOINTS)
        raise ModelError(f"{path}: {path.suffix or 'no suffix'} is not a kind of checkpoint; use one of {allowed}")
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol")  # what fails because of it is refused below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path}: refused, because reading it would run code stored in the file (a whole pickled module, or a "
            "damaged file); where it was trained, save plain weights: "
            "safetensors.torch.save_file(model.state_dict(), 'teacher.safetensors')"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise ModelError(f"{path}: not a readable checkpoint ({_first_line(error)}); is it whole?") from error
    return _unwrap(content, path)


def _unwrap(content: Any, path: Path) -> dict[str, Tensor]:
    """The state dict itself, or the one inside a training script's bigger dict."""
    if _is_state_dict(content):
        return dict(content)
    if isinstance(content, Mapping):
        for key in CONTAINERS:
            if _is_state_dict(content.get(key)):
                return dict(content[key])
        raise ModelError(
            f"{path}: no state dict in it, only {', '.join(map(str, list(content)[:6])) or 'nothing'}; "
            f"put it at the top or under one of {', '.join(CONTAINERS)}"
        )
    raise ModelError(f"{path}: holds a {type(content).__name__}, not a state dict; save model.state_dict()")


def _is_state_dict(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(isinstance(v, Tensor) for v in value.values())


def rename(tensors: Mapping[str, Tensor], expected: Collection[str]) -> dict[str, Tensor]:
    """Strip known prefixes as long as that makes more names fit ``expected``."""
    best = dict(tensors)
    while True:
        fits = len(best.keys() & set(expected))
        candidates = [{key.removeprefix(prefix): value for key, value in best.items()} for prefix in PREFIXES]
        better = [c for c in candidates if len(c) == len(best) and len(c.keys() & set(expected)) > fits]
        doubly = [c for c in candidates if len(c) == len(best) and c.keys() != best.keys()]
        if better:
            best = max(better, key=lambda c: len(c.keys() & set(expected)))
        elif not fits and doubly:  # two prefixes, such as module.model.: the first alone makes nothing fit yet
            best = doubly[0]
        else:
            return best


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
