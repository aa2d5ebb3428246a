"""What a search has found out about variants so far, where it survives a kill.

A judgement is found again only for the very same files, samples and layers: its name is the hash of all of these.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compress.data.dataset import Split
from compress.files import replace_file


@dataclass(frozen=True)
class Judged:
    """``right``: (N,) bool. ``error``: root mean square difference from the float logits, relative to their own."""

    right: np.ndarray
    error: float


class Remembered:
    """Judgements of variants of the files ``of`` on ``split``, kept below ``folder``; None: nowhere."""

    def __init__(self, folder: Path | None, of: Iterable[Path], split: Split) -> None:
        self._folder = folder and folder / "judged"
        if self._folder:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._digest = hashlib.sha256(np.ascontiguousarray(split.inputs))
            self._digest.update(np.ascontiguousarray(split.labels))
            for path in of:
                self._digest.update(path.read_bytes())

    def get(self, kept: frozenset[str] | None) -> Judged | None:
        if self._folder and (path := self._path(kept)).exists():
            with np.load(path, allow_pickle=False) as found:
                return Judged(found["right"], float(found["error"]))
        return None

    def put(self, kept: frozenset[str] | None, judged: Judged) -> None:
        if self._folder:
            with replace_file(self._path(kept)) as path, path.open("wb") as file:
                np.savez(file, right=judged.right, error=judged.error)

    def _path(self, kept: frozenset[str] | None) -> Path:
        digest = self._digest.copy()
        digest.update(repr(kept and sorted(kept)).encode())
        return self._folder / f"{digest.hexdigest()[:32]}.npz"
