"""Libraries that configure logging for everybody are kept from it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def root_logger() -> Iterator[None]:
    """Keep ``logging.basicConfig`` inside the block from adding a handler to the root logger or changing its level."""
    # It does nothing while there is a handler.
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
