"""Errors in the log that clients can cause as often as they like: they must not fill a disk, nor hide the rest."""

from __future__ import annotations

import logging
import time
from typing import Any

SECONDS = 60.0
"""Between two entries with one code."""
LENGTH = 1000
"""Characters of a message, which may come from an engine."""


class Sparing:
    """A log that tells each code's first error at once, and then one now and then, with how many were left out."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._told: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def error(self, message: str, code: str, *, exc_info: bool = False, **facts: Any) -> None:
        now = time.monotonic()
        if now - self._told.get(code, float("-inf")) < SECONDS:
            self._left_out[code] = self._left_out.get(code, 0) + 1
            return
        self._told[code] = now
        facts |= {"code": code, "left_out": self._left_out.pop(code, 0)}
        self._log.error("%s", message[:LENGTH], exc_info=exc_info, extra=facts)
