"""Networks: the architectures a recipe can name, teachers from their sources, and saving without pickle.

Each name is looked up when it is first used: an architecture alone (``compress.models.resnet``) needs only PyTorch.
"""

from __future__ import annotations

import importlib
from typing import Any

_FACE = {
    "ARCHITECTURES": "compress.models.architectures",
    "ModelSpec": "compress.models.spec",
    "Normalization": "compress.models.spec",
    "build": "compress.models.spec",
    "load": "compress.models.spec",
    "load_teacher": "compress.models.teacher",
    "save": "compress.models.spec",
}
__all__ = ["ARCHITECTURES", "ModelSpec", "Normalization", "build", "load", "load_teacher", "save"]


def __getattr__(name: str) -> Any:
    if name not in _FACE:
        raise AttributeError(f"module 'compress.models' has no attribute {name!r}")
    return getattr(importlib.import_module(_FACE[name]), name)
