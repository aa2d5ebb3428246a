"""The suite as one file that Python runs: itself, edge-runtime, and the project's own network."""

from __future__ import annotations

import shutil
import tempfile
import zipapp
from pathlib import Path

START = "import sys\nfrom bench.gpu.suite import main\nsys.exit(main())\n"
PACKAGES = ("compress", "compress/models", "bench")
"""Of these only the name: what they are in the checkout needs more than PyTorch."""


def pack(out: Path, root: Path) -> Path:
    """Write it to ``out`` from the checkout at ``root``."""
    skip = shutil.ignore_patterns("__pycache__")
    with tempfile.TemporaryDirectory() as temporary:
        content = Path(temporary)
        shutil.copytree(root / "edge-runtime/edge_runtime", content / "edge_runtime", ignore=skip)
        shutil.copytree(root / "bench/gpu", content / "bench/gpu", ignore=skip)
        for package in PACKAGES:
            (content / package).mkdir(parents=True, exist_ok=True)
            (content / package / "__init__.py").touch()
        shutil.copy(root / "compress/models/resnet.py", content / "compress/models")
        (content / "__main__.py").write_text(START)
        zipapp.create_archive(content, out, compressed=True)
    return out
