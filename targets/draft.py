"""Model files appear finished or not at all, and may be several: a graph and its weights."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from compress.files import fsync


@contextmanager
def draft(path: Path) -> Iterator[Path]:
    """Give a path of the same name in a temporary folder; when the block ends well, all files there move to ``path``'s.

    The one called like ``path`` moves last. The name keeps its suffix, by which engines know what they read.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".draft.", dir=path.parent) as folder:
        yield Path(folder) / path.name
        for file in sorted(Path(folder).iterdir(), key=lambda file: file.name == path.name):
            fsync(file)
            os.replace(file, path.parent / file.name)
        fsync(path.parent)
