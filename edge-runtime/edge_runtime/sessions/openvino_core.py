"""The one OpenVINO core of a process.

Its plugin for CPUs gives the thread that loads it another stack for signals (``sigaltstack``, for AMX) and, when it is
unloaded with the last model of its core, puts the stack before it back, or none, and frees its own. With one core a
session, closed in the order they were opened or on another thread, that leaves a freed stack behind, and the next
signal, a Ctrl-C, ends the process with a segmentation fault. A core that stays never unloads its plugin.

Seen with OpenVINO 2026.4; ``SigAltStackSetup`` in its src/plugins/intel_cpu.
"""

from __future__ import annotations

import threading
from typing import Any

from edge_runtime.sessions.registry import import_engine

_lock = threading.Lock()
_core: Any = None


def core() -> Any:
    """An ``openvino.Core`` that lives as long as the process. Raises EngineMissingError."""
    global _core
    engine = import_engine("openvino")
    with _lock:
        if _core is None:
            _core = engine.Core()
        return _core
