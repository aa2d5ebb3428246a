"""SIGTERM and a terminal that closes end a measurement as Ctrl-C does, so that what was measured is kept and shown."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType


class Ended(KeyboardInterrupt):
    """By a signal: ``number``, as which a shell knows it in an exit status of 128 + ``number``."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def status(interrupt: KeyboardInterrupt) -> int:
    """The exit status after it: 130 after Ctrl-C."""
    return 128 + getattr(interrupt, "number", signal.SIGINT)


@contextmanager
def as_ctrl_c() -> Iterator[None]:
    """Raises Ended in the main thread when SIGTERM or SIGHUP comes, unless it is ignored, as nohup has it.

    Only the first one counts, for what follows it is the writing of results; Ctrl-C always does.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread hears signals
        return
    terminals = _terminals()
    ending = False

    def end(number: int, _: FrameType | None) -> None:
        nonlocal ending
        if number == signal.SIGHUP:
            _write_to_nobody(terminals)
        if not ending or number == signal.SIGINT:
            ending = True
            raise Ended(number)

    wanted = [number for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT) if _heard(number)]
    before = {number: signal.signal(number, end) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _heard(number: int) -> bool:
    """Not ignored, and not a handler of another language's."""
    return signal.getsignal(number) not in (signal.SIG_IGN, None)


def _terminals() -> list[int]:
    """The descriptors of our output that are a terminal: to be asked while it is there."""
    found = []
    for stream in (sys.__stdout__, sys.__stderr__):
        with suppress(AttributeError, ValueError, OSError):  # there may be none, or a closed one
            if stream.isatty():
                found.append(stream.fileno())
    return found


def _write_to_nobody(terminals: list[int]) -> None:
    """The terminal is gone, and writing to it an error; there is still work to do."""
    for number in terminals:
        nobody = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nobody, number)
        os.close(nobody)
