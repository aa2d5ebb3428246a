"""Who watches what goes through the model, and cannot harm it.

What an observer raises is logged, counted, and goes no further. Everything but ``observe`` is asked in a thread, and an
observer that does not answer in time is left alone: its page is short of it, the server is not.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Protocol

import numpy as np

from edge_runtime.serve.metrics import Sample

log = logging.getLogger("edge_runtime.serve")

PATIENCE = 2.0
"""Seconds that a page waits for an observer."""
LONG_PATIENCE = 15.0
"""Seconds that a switch to another version, and the end, wait for it: it reads and writes files then."""
TELL_SECONDS = 60.0
"""Seconds between two entries in the log about failures."""


class Observer(Protocol):
    """``observe`` is called by inference threads: it should not raise, and must not block. ``status``: what an
    administrator is shown, as JSON has it."""

    def serve(self, contents: Any, version: str) -> None: ...

    def observe(self, inputs: np.ndarray, outputs: np.ndarray, seconds: float, version: str) -> None: ...

    def labelled(self, wrong: Sequence[bool], version: str) -> None: ...

    def metrics(self) -> Iterable[Sample]: ...

    def status(self) -> dict[str, Any]: ...

    def close(self) -> None: ...


class Audience:
    """All observers of one server."""

    def __init__(self, observers: Iterable[Observer] = ()) -> None:
        self._observers = tuple(observers)
        self._asking = asyncio.Lock()
        self._thread: threading.Thread | None = None
        self._told = float("-inf")
        self.failures = 0

    def __bool__(self) -> bool:
        return bool(self._observers)

    def observe(self, inputs: np.ndarray, outputs: np.ndarray, seconds: float, version: str) -> None:
        """One inference. Called by inference threads."""
        for one in self._observers:
            try:
                one.observe(inputs, outputs, seconds, version)
            except Exception as error:
                self._failed(error)

    async def serve(self, contents: Any, version: str) -> None:
        """This version answers from now on."""
        await self._ask(lambda one: one.serve(contents, version), LONG_PATIENCE)

    async def labelled(self, wrong: Sequence[bool], version: str) -> None:
        """Whether this version was wrong, for samples whose true label has become known."""
        await self._ask(lambda one: one.labelled(wrong, version), PATIENCE)

    async def samples(self) -> list[Sample]:
        if not self._observers:
            return []
        found = await self._ask(lambda one: list(one.metrics()), PATIENCE)
        lost = len(self._observers) - len(found)
        return [
            *(sample for samples in found for sample in samples),
            Sample("edge_runtime_observers_lost", lost, help="Observers of the model that do not answer."),
            Sample("edge_runtime_observer_failures_total", self.failures, kind="counter", help="Errors of observers."),
        ]

    async def status(self) -> dict[str, Any]:
        """All that the observers say, in one object."""
        return {
            key: value for said in await self._ask(lambda one: one.status(), PATIENCE) for key, value in said.items()
        }

    async def close(self) -> None:
        await self._ask(lambda one: one.close(), LONG_PATIENCE)

    async def _ask(self, call: Callable[[Observer], Any], seconds: float) -> list[Any]:
        """What each observer answers, without those that fail, or that are not done in time."""
        if not self._observers:
            return []
        async with self._asking:
            if self._thread is not None and self._thread.is_alive():
                return []  # still stuck in the last question
            loop = asyncio.get_running_loop()
            done = asyncio.Event()
            answers: list[Any] = []

            def work() -> None:
                for one in self._observers:
                    try:
                        answers.append(call(one))
                    except Exception as error:
                        self._failed(error)
                with suppress(RuntimeError):  # the loop has ended meanwhile
                    loop.call_soon_threadsafe(done.set)

            # A thread of its own that does not keep the process from ending, as one of a pool would.
            self._thread = threading.Thread(target=work, name="observers", daemon=True)
            self._thread.start()
            try:
                await asyncio.wait_for(done.wait(), seconds)
            except asyncio.TimeoutError:
                self._failed(TimeoutError(f"no answer for {seconds:g} seconds"))
            else:
                self._thread = None
            return list(answers)

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        now = time.monotonic()
        if now - self._told >= TELL_SECONDS:
            self._told = now
            log.error("an observer failed: %r", error, exc_info=error, extra={"code": "observer-failed"})
