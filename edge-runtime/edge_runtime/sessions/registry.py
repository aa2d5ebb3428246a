"""From a file to a session: which runtimes there are, and which one reads this file.

The modules beside this one are the runtimes, each named for what it runs and holding one ``Session`` class. Another
distribution adds one with an entry point in the group ``edge_runtime.sessions``: the runtime's name, and its class.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from os import PathLike
from pathlib import Path
from types import ModuleType

import edge_runtime.sessions
from edge_runtime.errors import EngineMissingError, ModelFileError, SessionError
from edge_runtime.sessions.base import Session

GROUP = "edge_runtime.sessions"
HELPERS = ("base", "layers", "onnxruntime_trace", "openvino_core", "openvino_counts", "product_onnx", "registry")
"""Modules beside this one that are no runtimes."""


def open_session(
    path: str | PathLike[str],
    runtime: str | None = None,
    threads: int = 1,
    *,
    optimize: bool = True,
    profile: bool = False,
) -> Session:
    """Load a model file.

    ``runtime`` is guessed from the suffix when None. ``threads`` is how many threads one call may use.
    ``optimize=False`` runs the graph as it is written, where the runtime can: ONNX Runtime then computes a QDQ model in
    simulated (float) arithmetic, which tells saturated integer kernels from sound ones. ``profile=True`` turns the
    engine's own profiler on, for ``Session.layers``.

    Raises SessionError: EngineMissingError with the command that installs the engine, ModelFileError when the file is
    missing, damaged or of another kind.
    """
    path = Path(path)
    kind = _runtime(runtime, path)
    if path.suffix not in kind.suffixes:
        raise ModelFileError(f"{path}: {kind.runtime} reads {' and '.join(kind.suffixes)} files, not {path.suffix!r}")
    if not path.is_file():
        raise ModelFileError(f"{path}: {'is not a file' if path.exists() else 'there is no such file'}")
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise SessionError(f"{path}: threads must be a whole number of at least 1, not {threads!r}")
    if not profile:
        return kind(path, threads, optimize=optimize)
    if kind.profiler is None:
        able = ", ".join(name for name, known in runtimes().items() if known.profiler)
        raise SessionError(f"{path}: {kind.runtime} tells no times of layers to Python; these do: {able}")
    return kind(path, threads, optimize=optimize, profile=True)


def session_class(path: str | PathLike[str], runtime: str | None = None) -> type[Session]:
    """The class that ``open_session`` would open this file with; the file is not looked at. Raises SessionError."""
    return _runtime(runtime, Path(path))


@cache
def runtimes() -> dict[str, type[Session]]:
    """The runtimes of this package by name, whether or not their engines are installed."""
    kinds = {}
    for module in pkgutil.iter_modules(edge_runtime.sessions.__path__):
        if module.name not in HELPERS:
            found = vars(importlib.import_module(f"edge_runtime.sessions.{module.name}")).values()
            classes = (kind for kind in found if isinstance(kind, type) and issubclass(kind, Session))
            kinds |= {kind.runtime: kind for kind in classes if not kind.__abstractmethods__}
    return kinds


def additions() -> dict[str, EntryPoint]:
    """The runtimes of other distributions by name. Loading one may import a large engine: only when it is asked for."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def import_engine(name: str) -> ModuleType:
    """Import an engine whose package and module have one name. Raises EngineMissingError."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise EngineMissingError(f"{name} is installed without {error.name}: pip install {error.name}") from error
        raise EngineMissingError(f"{name} is not installed: python -m pip install {name}") from None
    except ImportError as error:
        raise EngineMissingError(f"{name} is installed, but does not load on this machine: {error}") from error


def _runtime(name: str | None, path: Path) -> type[Session]:
    known, more = runtimes(), additions()
    if name is None:
        for kind in _in_turn(known, more):
            if path.suffix == kind.suffixes[0]:
                return kind
        suffixes = ", ".join(f"{kind.suffixes[0]} ({kind.runtime})" for kind in _in_turn(known, more))
        raise ModelFileError(f"{path}: no runtime reads {path.suffix!r} files; there are {suffixes}")
    if name in known:
        return known[name]
    if name in more:
        return more[name].load()
    raise SessionError(f"there is no runtime {name!r}; there are {', '.join([*known, *more])}")


def _in_turn(known: dict[str, type[Session]], more: dict[str, EntryPoint]) -> Iterator[type[Session]]:
    """Our own runtimes first: the others are imported only when none of ours will do."""
    yield from known.values()
    for entry in more.values():
        yield entry.load()
