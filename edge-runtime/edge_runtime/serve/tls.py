"""TLS: the certificate and its key, and who is let in.

asyncio tells of a connection only after its handshake. ``Door`` accepts it, so that clients that open connections and
never shake hands are counted with the others.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from edge_runtime import limits
from edge_runtime.errors import ListenError
from edge_runtime.serve import auth

AT_ONCE = 100
"""Connections accepted before others get a turn."""


def context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 and later, by the certificate (with its chain) and its private key, both PEM.

    Raises ListenError for files that are none of that, TokenFileError for a key that others can read.
    """
    auth.read_private(key, 4 * limits.TOKEN_BYTES)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Into another one, or the certificate itself would be trusted to sign clients'.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(certificate)
    except ssl.SSLError as error:
        raise ListenError(f"{certificate}: holds no certificate in PEM; give its chain, own one first") from error
    except OSError as error:
        raise ListenError(f"{certificate}: cannot be read: {error.strerror}") from error

    def password() -> NoReturn:
        raise ListenError(f"{key}: is encrypted, and a service has nobody to ask; decrypt it with: openssl pkey")

    try:
        made.load_cert_chain(certificate, key, password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ListenError(f"{key}: is not the key of {certificate}") from error
        raise ListenError(f"{key}: holds no private key in PEM that fits {certificate}") from error
    return made


class Door:
    """Lets clients in from ``listener``. For uvicorn it is an asyncio server: it has ``close`` and ``wait_closed``.

    ``inside`` makes the protocol of a connection that is encrypted, ``connections`` are those there are.
    """

    def __init__(
        self, listener: socket.socket, context: ssl.SSLContext, inside: Callable[[], Any], connections: set[Any]
    ) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._context = context
        self._inside = inside
        self._connections = connections
        self._waiting: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._resume: asyncio.TimerHandle | None = None
        self._loop.add_reader(listener, self._accept)

    def close(self) -> None:
        if self._resume:
            self._resume.cancel()
        self._loop.remove_reader(self._listener)
        for task in self._waiting:
            task.cancel()

    async def wait_closed(self) -> None:
        await asyncio.gather(*self._waiting, return_exceptions=True)

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                client, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # there are no more file descriptors, or no memory; asking again at once does not help
                self._loop.remove_reader(self._listener)
                self._resume = self._loop.call_later(1, self._loop.add_reader, self._listener, self._accept)
                return
            if len(self._connections) + len(self._waiting) >= limits.CONNECTIONS:
                client.close()  # it could be told why only after a handshake
                continue
            client.setblocking(False)
            task = self._loop.create_task(self._shake_hands(client))
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)

    async def _shake_hands(self, client: socket.socket) -> None:
        patience: dict[str, Any] = {"ssl_handshake_timeout": limits.HANDSHAKE_SECONDS}
        if sys.version_info >= (3, 11):
            patience["ssl_shutdown_timeout"] = limits.HANDSHAKE_SECONDS
        try:
            await self._loop.connect_accepted_socket(self._inside, client, ssl=self._context, **patience)
        except OSError:  # ssl.SSLError and time-outs are some
            client.close()
