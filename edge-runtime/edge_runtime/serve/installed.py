"""The server and the device's home: which bundle to serve, and telling how a version on trial is doing.

``begin`` is called before every load, so a version that takes the process down loses an attempt each time, and is left
behind when it has none. What the server sees (answers, failures, p99) is reported every few seconds; when a report ends
in a rollback, or somebody has installed another version, the server switches without a restart.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_runtime.errors import EdgeRuntimeError
from edge_runtime.serve.core import Service
from edge_runtime.serve.sparing import Sparing
from edge_runtime.update import trial
from edge_runtime.update.home import Home
from edge_runtime.update.recovery import read
from edge_runtime.update.rollback import way_back

log = logging.getLogger("edge_runtime.serve")

REPORT_SECONDS = 5.0
ATTEMPTS = 10
"""Versions tried at one start or reload, each of which the home may answer with another."""


class Installed:
    """``opener``: makes a model of an unpacked bundle, ``Contents``."""

    def __init__(self, home: Path, service: Service, opener: Callable[[Any], Any]) -> None:
        self.home = Home(home)
        self.service = service
        self._opener = opener
        self._busy = asyncio.Lock()
        self._troubles = Sparing(log)
        self._begun: asyncio.Future[Any] | None = None
        """What `begin` gives out to be loaded, while that is not settled."""

    async def load(self) -> str:
        """Serve the version that is current, or the one that the home falls back to when it does not load.

        Returns its version. Raises EdgeRuntimeError when none loads; what was served before is served on.
        """
        async with self._busy:
            for _ in range(ATTEMPTS):
                contents = await self._begin()
                if contents is None or contents.id == self.service.id:
                    return self.service.version
                try:
                    version = await self.service.switch(lambda contents=contents: self._opener(contents), self._former)
                except Exception as error:
                    self._begun = None
                    code = error.code if isinstance(error, EdgeRuntimeError) else "internal"
                    log.error(str(error), extra={"code": code, "id": contents.id})
                    outcome = await asyncio.to_thread(trial.report, self.home, version=contents.id, crashed=True)
                    if outcome in (trial.SERVING, trial.KEPT):  # no trial, so no other version comes next
                        raise
                    failure = error
                else:
                    self._begun = None
                    log.info("serving", extra={"version": version, "id": contents.id})
                    return version
            raise failure

    async def _begin(self) -> Any:
        self._begun = asyncio.ensure_future(asyncio.to_thread(trial.begin, self.home, serving=self.service.id))
        try:
            contents = await asyncio.shield(self._begun)
        except Exception:
            self._begun = None
            raise
        if contents is None or contents.id == self.service.id:
            self._begun = None
        return contents

    def _former(self) -> Any:
        """The version that the home would go back to, opened; None where there is none that opens."""
        try:
            return self._opener(way_back(self.home, read(self.home)))
        except (EdgeRuntimeError, OSError):
            return None

    async def watch(self) -> None:
        """Report, and follow the home, until cancelled; whatever goes wrong is logged, and tried again."""
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            try:
                await self.report()
                current = await asyncio.to_thread(self.home.current)
                if current is not None and current.id != self.service.id:
                    await self.load()
            except (EdgeRuntimeError, OSError) as error:
                self._troubles.error(str(error), getattr(error, "code", "os-error"))
            except Exception as error:
                self._troubles.error(f"the home could not be followed: {error!r}", "internal", exc_info=True)

    async def report(self, *, stopped: bool = False) -> None:
        """Tell the home how the version that serves has been doing since the last report.

        ``stopped``: the server is about to end. A load that this has cut short was of the current version: its attempt
        is given back.
        """
        id = self.service.id
        if stopped and self._begun is not None:
            given = await self._begun
            id = given.id if given else id
        if id is None:
            return
        tally = self.service.tally(id)
        try:
            outcome = await asyncio.to_thread(
                trial.report,
                self.home,
                version=id,
                good=tally.good,
                failed=tally.failed,
                stopped=stopped,
                p99=tally.p99,
            )
        except Exception:
            self.service.give_back(id, tally)
            raise
        if outcome in (trial.COMMITTED, trial.ROLLED_BACK, trial.KEPT):
            log.log(
                logging.INFO if outcome == trial.COMMITTED else logging.WARNING,
                "trial over",
                extra={"outcome": outcome, "id": id},
            )
