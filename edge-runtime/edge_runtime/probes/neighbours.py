"""Whether another benchmark measures on this machine at the same time: then the times of both are wrong.

Whoever measures holds a socket with a name in Linux's abstract namespace, which needs no file and goes with its
process, however that ends. The kernel lists all of them, of every user, in /proc/net/unix.
"""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_runtime.energy.tree import ROOT, text

PREFIX = "edge-runtime-bench/"

_own: set[str] = set()


@contextmanager
def present() -> Iterator[None]:
    """Be seen by others as one that measures; on another system than Linux nobody is."""
    name = f"{PREFIX}{uuid.uuid4().hex}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sign:
        try:
            sign.bind(f"\0{name}")
        except OSError:  # no abstract names here, or none for us
            yield
            return
        _own.add(name)
        try:
            yield
        finally:
            _own.discard(name)


def count(root: Path = ROOT) -> int | None:
    """How many others measure now; None where the kernel does not say."""
    listed = text(root / "proc/net/unix")
    if listed is None:
        return None
    names = {word[1:] for line in listed.splitlines() for word in line.split()[7:8] if word.startswith(f"@{PREFIX}")}
    return len(names - _own)
