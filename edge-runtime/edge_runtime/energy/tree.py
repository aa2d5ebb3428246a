"""Reading the kernel's small files, below the root of the file system or of a recorded one."""

from __future__ import annotations

from pathlib import Path

from edge_runtime.errors import SensorError

ROOT = Path("/")


def text(path: Path) -> str | None:
    """A file's text, or None: some are not there on every kernel, and some answer with an error."""
    try:
        return path.read_text(errors="replace").strip("\0\n ")
    except OSError:
        return None


def number(path: Path) -> float:
    """The number in a file. Raises SensorError, with the remedy where reading it is forbidden."""
    try:
        return float(path.read_text())
    except PermissionError:
        raise SensorError(f"{path} may not be read by this user: run as root, or as root: chmod a+r {path}") from None
    except OSError as error:
        raise SensorError(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError:
        raise SensorError(f"{path} holds no number") from None


def board(root: Path = ROOT) -> str | None:
    """Model of the board, as the device tree names it, or None on a machine without one."""
    return text(root / "proc/device-tree/model") or None


def exists(root: Path, *patterns: str) -> bool:
    """Whether a file of one of these patterns is there."""
    return any(True for pattern in patterns for _ in root.glob(pattern))
