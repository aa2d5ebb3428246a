"""The server's process: sockets, signals, systemd, and the order in which things start and stop.

1. Tokens, certificate and key are read and the address is judged; then the socket is opened, and answers 503 while the
   model loads.
2. The model is opened and tried; READY=1.
3. SIGHUP loads what is installed now. SIGTERM (and Ctrl-C): not ready any more; after a moment, in which whatever is
   still on its way is answered too, no new connections; the requests that are there are answered, a trial gets its
   attempt back, the process ends with status 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_runtime import limits
from edge_runtime.errors import EdgeRuntimeError, ExtraMissingError, ListenError
from edge_runtime.serve import aside, auth, listener, tls
from edge_runtime.serve.app import Application
from edge_runtime.serve.audience import Observer
from edge_runtime.serve.auth import Access
from edge_runtime.serve.core import Service, Settings
from edge_runtime.serve.installed import Installed
from edge_runtime.serve.notify import notify, watchdog_seconds

log = logging.getLogger("edge_runtime.serve")

SWITCH_INTERVAL = 0.001
"""Seconds after which Python lets another thread run. Its own 5 ms would be most of a small model's answer."""

LAST_SECONDS = 0.3
"""How long a stopping server still takes requests: one whose bytes are on their way would be lost otherwise."""


@dataclass(frozen=True)
class Options:
    """``bundle``: serve this one; None for what is installed in ``home``. ``certificate`` and ``key``: TLS, in PEM."""

    home: Path
    bundle: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    unix: Path | None = None
    token_file: Path | None = None
    admin_token_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    max_body: int = limits.BODY_BYTES
    service: Settings = field(default_factory=Settings)


Opener = Callable[[Any], Any]


def run(options: Options, *, open_bundle: Opener, open_installed: Opener, observers: Iterable[Observer] = ()) -> int:
    """Serve until told to stop; the exit status. ``open_bundle`` takes a path, ``open_installed`` a ``Contents``.

    Raises ListenError (TokenFileError) when the server must not start so, ExtraMissingError without its libraries.
    """
    access = _access(options)
    context = _tls(options)
    try:
        import uvicorn

        from edge_runtime.serve import guard
    except ImportError as error:
        raise ExtraMissingError(
            f'{error.name} is not installed; run: python -m pip install "edge-runtime[serve]"'
        ) from error
    sys.setswitchinterval(SWITCH_INTERVAL)

    async def serve() -> int:
        service = Service(options.service, observers=observers)
        installed = Installed(options.home, service, open_installed)
        config = uvicorn.Config(
            Application(service, access, reload=None if options.bundle else installed.load, max_body=options.max_body),
            http=guard.GuardedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=limits.DRAIN_SECONDS + 2,
        )
        server = guard.Server(config, context)
        opened = listener.at_file(options.unix) if options.unix else listener.at_address(options.host, options.port)
        log.info("listening", extra={"address": str(options.unix) if options.unix else opened.getsockname()[:2]})
        load = installed.load if options.bundle is None else lambda: service.switch(lambda: open_bundle(options.bundle))
        home = installed if options.bundle is None else None
        return await _Life(server, opened, service, home, load, guard.sweep).run()

    status = _event_loop()(serve())
    if aside.busy():
        # An engine that is still at work may crash in its destructors, which would not be an orderly end.
        logging.shutdown()
        os._exit(status)
    return status


def _event_loop() -> Callable[[Any], int]:
    """uvloop's where it is installed: a fifth more requests of a server without a model, for 14 MB."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    return uvloop.run


class _Life:
    """One server from its start to its end."""

    def __init__(
        self, server: Any, listener: socket.socket, service: Service, installed: Installed | None, load: Any, sweep: Any
    ) -> None:
        self.server = server
        self.listener = listener
        self.service = service
        self.installed = installed
        self._load = load
        self._sweep = sweep
        self._status = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._held = contextlib.ExitStack()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._drain)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._start(self._reload()))
        self._start(self._begin())
        self._start(self._sweep(self.server.server_state.connections))
        self._start(self._pulse())
        await self.server.serve(sockets=[self.listener])
        self._cut()
        for task in self._tasks:
            task.cancel()
        try:
            await asyncio.wait_for(self._close(), limits.CLOSE_SECONDS)
        except asyncio.TimeoutError:
            log.warning(f"the model, or who watches it, did not end within {limits.CLOSE_SECONDS:g} seconds")
        log.info("stopped", extra={"status": self._status})
        return self._status if self.server.started else 1

    async def _close(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.installed:
            with contextlib.suppress(EdgeRuntimeError, OSError):
                await self.installed.report(stopped=True)
        self._held.close()
        await self.service.close()

    async def _begin(self) -> None:
        try:
            if self.installed:
                await asyncio.to_thread(self._held.enter_context, self.installed.home.serving())
            version = await self._load()
        except Exception as error:
            # Nothing to serve: end, and let whoever supervises this start it again, which counts against a trial.
            known = isinstance(error, EdgeRuntimeError)
            log.error(str(error), extra={"code": error.code if known else "internal"}, exc_info=not known)
            self._status = 1
            self._stop()
            return
        if not self.service.draining:
            # What is loaded stays; it need not be looked through for garbage again, all requests waiting meanwhile.
            gc.collect()
            gc.freeze()
            notify("READY=1", f"STATUS=Serving version {version}")
        if self.installed:
            self._start(self.installed.watch())

    async def _reload(self) -> None:
        if self.installed is None:
            return
        try:
            version = await self.installed.load()
        except (EdgeRuntimeError, OSError) as error:
            log.error(str(error), extra={"code": getattr(error, "code", "os-error")})
        else:
            notify(f"STATUS=Serving version {version}")

    async def _pulse(self) -> None:
        """Signs of life for systemd's watchdog: from the event loop, so a loop that hangs gives none."""
        seconds = watchdog_seconds()
        while seconds:
            notify("WATCHDOG=1")
            await asyncio.sleep(seconds)

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _drain(self) -> None:
        """Answers say ``Connection: close`` from now on. Called again: do not wait."""
        if self.service.draining:
            self._stop()
            return
        notify("STOPPING=1")
        self.service.draining = True
        asyncio.get_running_loop().call_later(LAST_SECONDS, self._stop)

    def _stop(self) -> None:
        self.service.draining = True
        self.server.should_exit = True
        asyncio.get_running_loop().call_later(limits.DRAIN_SECONDS, self._cut)

    def _cut(self) -> None:
        """End what connections there still are: of clients that do not read, or whose model does not answer."""
        for connection in list(self.server.server_state.connections):
            connection.transport.abort()


def _access(options: Options) -> Access:
    """Raises ListenError and TokenFileError."""
    token = auth.read_token(options.token_file) if options.token_file else None
    admin = auth.read_token(options.admin_token_file) if options.admin_token_file else None
    if options.unix is None:
        auth.check_listening(options.host, token)
    hosts = Access().hosts | {options.host.lower()} if token is None and options.unix is None else None
    if options.unix is None and not auth.is_loopback(options.host) and options.certificate is None:
        log.warning("tokens and data cross the network in the clear; give --tls-certificate and --tls-key")
    return Access(token, admin, hosts)


def _tls(options: Options) -> ssl.SSLContext | None:
    """Raises ListenError (TokenFileError)."""
    if options.certificate is None and options.key is None:
        return None
    if options.certificate is None or options.key is None:
        missing = "--tls-key" if options.key is None else "--tls-certificate"
        raise ListenError(f"a certificate and its key go together: give {missing} too")
    return tls.context(options.certificate, options.key)
