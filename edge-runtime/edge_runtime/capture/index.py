"""What is captured already, in memory: from the names of the files, so that no file need be opened."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_runtime.capture import hashes
from edge_runtime.capture.items import Name, names, read
from edge_runtime.errors import CaptureError
from edge_runtime.limits import CAPTURES
from edge_runtime.watch.state import load, save


class Index:
    """Reads the names in ``folder``. ``weights``: how many inputs of the stream each one stands for; those of the index
    ``before`` are kept where newer than the file's."""

    def __init__(self, folder: Path, before: Index | None = None) -> None:
        self._folder, self._file = folder, folder / "weights.json"
        self._names: dict[str, Name] = {}
        self.bytes = 0
        for name, path in names(folder):
            try:
                size = path.stat().st_size
            except OSError:  # removed meanwhile
                continue
            self._names[name.exact] = name
            self.bytes += size
        self._near: list[str] = [exact for exact, name in self._names.items() if name.near is not None]
        self._codes = np.zeros((0, hashes.BYTES), np.uint8)
        if self._near:
            joined = b"".join(self._names[exact].near for exact in self._near)
            self._codes = np.frombuffer(joined, np.uint8).reshape(-1, hashes.BYTES)
        self.weights = before.weights if before else read_weights(folder)
        self.weights = {exact: weight for exact, weight in self.weights.items() if exact in self._names}
        self._changed = before is not None and before._changed

    def __len__(self) -> int:
        return len(self._names)

    def find(self, name: Name, near: int) -> str | None:
        """The captured input that ``name`` is like, in at most ``near`` bits of the hash for pictures."""
        if name.exact in self._names:
            return name.exact
        if name.near is None or near < 0 or not len(self._codes):
            return None
        index, bits = hashes.nearest(name.near, self._codes)
        return self._near[index] if bits <= near else None

    def add(self, name: Name, size: int, weight: float) -> None:
        self._names[name.exact] = name
        self.bytes += size
        if name.near is not None:
            self._near.append(name.exact)
            self._codes = np.concatenate([self._codes, np.frombuffer(name.near, np.uint8)[None]])
        self.weights[name.exact] = weight
        self._changed = True

    def weigh(self, exact: str, weight: float) -> None:
        """One more input fell on this one."""
        if exact not in self.weights:  # a crash came before they were written
            self.weights[exact] = self._own(exact)
        self.weights[exact] += weight
        self._changed = True

    def within(self, first: int, end: int) -> int:
        """How many were captured from the second ``first`` (since 1970) on and before ``end``."""
        return sum(first <= name.second < end for name in self._names.values())

    def save(self) -> None:
        """Write the weights. Raises OSError."""
        if self._changed:
            save(self._file, {"weights": self.weights})
            self._changed = False

    def _own(self, exact: str) -> float:
        """What a captured input weighs by itself; nothing when it cannot be read, and so is not exported either."""
        try:
            return 1 / read(self._folder / f"{self._names[exact].id}.npz")[1].propensity
        except CaptureError:
            return 0.0


def read_weights(folder: Path) -> dict[str, float]:
    """By exact hash; those missing (after a crash, or a damaged file) have 1 / propensity."""
    state, _ = load(folder / "weights.json")
    try:
        weights = {str(exact): float(weight) for exact, weight in list((state or {})["weights"].items())[:CAPTURES]}
        return {exact: weight for exact, weight in weights.items() if 1 <= weight < float("inf")}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}
