"""What a device needs to run a compressed model, and to say how fast it runs and what it weighs there.

    import edge_runtime

    with edge_runtime.open_model("boots.edge") as model:
        answer = model.predict(Path("boot.png"))

``model`` answers from a signed bundle (``bundle``, ``preprocess``), ``sessions`` runs a bare model file on an engine,
``machine`` tells what this machine is and how it is doing, ``energy`` reads power sensors, ``probes`` measures.
Importing this package imports neither numpy nor an engine: each name is looked up when it is first used.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

# The engines report their use to their makers unless told otherwise before they are imported. A device that nobody
# asked must not. ONNX Runtime documents the variable in its Privacy.md; OpenVINO does without a package that it cannot
# import, and has no other switch.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
sys.modules.setdefault("openvino_telemetry", None)

if TYPE_CHECKING:
    from edge_runtime.errors import (
        BundleError,
        EdgeRuntimeError,
        EngineMissingError,
        InputError,
        ModelFileError,
        ProbeError,
        SessionError,
    )
    from edge_runtime.model import Model, Prediction, open_model
    from edge_runtime.sessions.base import Session, TensorSpec
    from edge_runtime.sessions.registry import open_session

__version__ = "0.1.0"

_HOMES = {
    "open_model": "edge_runtime.model",
    "Model": "edge_runtime.model",
    "Prediction": "edge_runtime.model",
    "open_session": "edge_runtime.sessions.registry",
    "Session": "edge_runtime.sessions.base",
    "TensorSpec": "edge_runtime.sessions.base",
    "EdgeRuntimeError": "edge_runtime.errors",
    "SessionError": "edge_runtime.errors",
    "EngineMissingError": "edge_runtime.errors",
    "ModelFileError": "edge_runtime.errors",
    "InputError": "edge_runtime.errors",
    "ProbeError": "edge_runtime.errors",
    "BundleError": "edge_runtime.errors",
}
__all__ = [
    "BundleError",
    "EdgeRuntimeError",
    "EngineMissingError",
    "InputError",
    "Model",
    "ModelFileError",
    "Prediction",
    "ProbeError",
    "Session",
    "SessionError",
    "TensorSpec",
    "open_model",
    "open_session",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name == "machine":
        return importlib.import_module("edge_runtime.machine")
    raise AttributeError(f"module 'edge_runtime' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__, "machine"])
