"""Opening a file that may be anything: a folder, a pipe that never ends, a link to either."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

BLOCK = 1 << 20
"""Bytes read at a time."""


@contextmanager
def opened(path: str | os.PathLike[str], *, follow: bool = True) -> Iterator[tuple[BinaryIO, os.stat_result]]:
    """A regular file and the facts about it. Never waits.

    ``follow=False``: a link is no file either. Raises OSError, whose ``strerror`` says what it is instead.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    handle = os.open(path, flags)
    try:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(errno.EINVAL, "it is not a file")
        with open(handle, "rb", closefd=False) as stream:
            yield stream, facts
    finally:
        os.close(handle)


def blocks(stream: BinaryIO) -> Iterator[bytes]:
    """What is left of a file, piece by piece."""
    while block := stream.read(BLOCK):
        yield block
