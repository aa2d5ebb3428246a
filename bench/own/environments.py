"""Environments of tools that cannot share this one, made once each in the user's cache."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENGINES = ("torch", "onnx", "onnxruntime", "numpy")
"""The same versions as here, so that only the tools differ."""


def cache() -> Path:
    """Below $XDG_CACHE_HOME, or ~/.cache where that is not set."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "compress" / "bench"


def environment(folder: Path, *installs: Sequence[str], engines: Sequence[str] = ENGINES) -> Path:
    """The Python of an environment in ``folder``, into which pip installs the requirements of each of ``installs``,
    with the versions of ``engines`` that this project is tested with.

    A stamp beside it tells that it is whole. Raises CalledProcessError when pip cannot install it.
    """
    python, stamp = folder / "bin" / "python", folder / "stamp"
    if not stamp.is_file():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines(keepends=True)
        constraints = folder / "constraints.txt"
        constraints.write_text("".join(line for line in lines if line.partition("==")[0] in engines), "utf-8")
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", str(constraints)]
        for requirements in installs:
            subprocess.run([*pip, *requirements], check=True)
        stamp.touch()
    return python
