"""Where things live on a device, unless somebody says otherwise."""

from __future__ import annotations

import os
from pathlib import Path

DEFAULT_HOME = "/var/lib/edge-runtime"


def default_home() -> Path:
    """The folder of installed models and trusted keys: $EDGE_RUNTIME_HOME, or /var/lib/edge-runtime."""
    return Path(os.environ.get("EDGE_RUNTIME_HOME") or DEFAULT_HOME)
