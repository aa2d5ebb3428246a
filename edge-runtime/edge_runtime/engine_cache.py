"""Engines built on this device, so that a model is built once: minutes on a small one.

An engine fits one GPU, one TensorRT and one model, so these make its name; what does not fit is never found. A file is
whole or not there (written beside, flushed, renamed), and begins with the digest of the rest: an engine that the disk
has damaged is built again, instead of being given to a reader that trusts it.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path

DIGEST = hashlib.sha256().digest_size


def folder() -> Path:
    """``$EDGE_RUNTIME_CACHE``, or in the user's cache folder."""
    if chosen := os.environ.get("EDGE_RUNTIME_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edge-runtime" / "engines"


def place(model: Path, **made_for: str) -> Path:
    """Where the engine of the file ``model`` is, or would be, for these facts about the device and its software."""
    with model.open("rb") as stream:
        content = hashlib.sha256()
        while block := stream.read(1 << 20):
            content.update(block)
    facts = json.dumps(made_for | {"model": content.hexdigest()}, sort_keys=True)
    return folder() / f"{hashlib.sha256(facts.encode()).hexdigest()}.engine"


def read(path: Path) -> bytes | None:
    """The engine, or None when there is none or it is damaged."""
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    digest, engine = content[:DIGEST], content[DIGEST:]
    return engine if hashlib.sha256(engine).digest() == digest else None


def write(path: Path, engine: bytes) -> None:
    """Raises OSError, and leaves what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".", dir=path.parent)
    draft = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(hashlib.sha256(engine).digest())
            stream.write(engine)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
