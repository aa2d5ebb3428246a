"""What uvicorn leaves to a proxy in front of it, and a device has none: bounds on connections, headers and patience.

A connection is refused beyond ``limits.CONNECTIONS``. It is closed when its headers, trailers or chunks' own bytes grow
too long, when its request does not come whole in time, when it is opened and says nothing, and when its client does not
read the answers. One sweep over all connections a second takes the place of a timer for each. Refusals are counted with
the application's, and not logged: every client can cause as many as it likes.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from edge_runtime import limits
from edge_runtime.serve.listener import BACKLOG
from edge_runtime.serve.tls import Door


class Refusal(NamedTuple):
    """``code``: of the answer, and what it is counted under."""

    code: str
    answer: bytes


def refusal(status: str, code: str, message: str) -> Refusal:
    body = f'{{"error":"{message}","code":"{code}"}}'
    head = f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close"
    return Refusal(code, f"HTTP/1.1 {status}\r\n{head}\r\n\r\n{body}".encode())


CROWDED = refusal(
    "503 Service Unavailable", "connections-full", "too many connections are open; close some, or come back later"
)
TOO_LONG = refusal("431 Request Header Fields Too Large", "headers-too-large", "the headers are too long, or too many")
TOO_SLOW = refusal("408 Request Timeout", "request-too-slow", "the request did not come whole in time")
MALFORMED = refusal("400 Bad Request", "request-invalid", "this is not a valid request in HTTP/1.1")
UNREAD = "answer-not-read"
"""What a connection is counted under whose client does not read."""

FRAMING = 6
"""Bytes that a chunk of one byte takes: for each byte of a body as many go unnoticed, or small chunks would fail."""


class _Refused(Exception):
    """Raised in a callback of the parser, which then reads no further."""


class GuardedProtocol(HttpToolsProtocol):
    """One connection. ``since``: when it began to be waited for (the loop's seconds); None while we owe an answer."""

    since: float | None

    def connection_made(self, transport: Any) -> None:
        self.since = self.loop.time()
        self.headers = []
        # Bytes since the message began that are no body; those of the piece that it began in do not count.
        self._extra = 0
        self._headed = False  # the message that is being read has had its headers
        self._deaf = False  # what still comes is not looked at
        self._unsent: float | None = None  # since when there are bytes that the client has not taken
        self._row: set[Any] = set()  # requests that came before the one before them was answered
        super().connection_made(transport)
        if len(self.connections) > limits.CONNECTIONS:
            self._refuse(CROWDED)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if len(data) <= limits.HEADERS_BYTES:
            self._feed(data)
            return
        # The parser keeps all of what it is in the midst of, so it is handed no more than that is allowed to be.
        view = memoryview(data)
        for start in range(0, len(view), limits.HEADERS_BYTES):
            self._feed(view[start : start + limits.HEADERS_BYTES])

    def _feed(self, data: bytes | memoryview) -> None:
        if self._deaf:
            return
        self._extra += len(data)
        self._reason: Refusal | None = MALFORMED
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # not to be had here, so it is answered as if nothing else were asked
            self._hang_up()
        except httptools.HttpParserError:
            if self._reason is None:
                self._hang_up()
            else:
                self._refuse(self._reason)
        else:
            if self._extra < 0:
                self._extra = 0
            elif self._extra > limits.HEADERS_BYTES or len(self.headers) > limits.HEADERS:
                self._refuse(TOO_LONG)

    def on_message_begin(self) -> None:
        self.since = self.loop.time()
        self._extra = 0
        if self._unsent is not None and not self.transport.get_write_buffer_size():
            self._unsent = None
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        # In one piece they cannot be too long.
        if len(self.headers) > limits.HEADERS or (self._extra and self._head_bytes() > limits.HEADERS_BYTES):
            self._reason = TOO_LONG
            raise _Refused
        if len(self.pipeline) >= limits.PIPELINED:
            self._reason = None  # no answer of its own: its client asks again on another connection (RFC 9112, 9.3.2)
            raise _Refused
        former = self.cycle
        super().on_headers_complete()
        if self.pipeline:
            self._row = {one for one in (*self._row, former, self.cycle) if not one.response_complete}
        self._headed = True
        self.headers = []  # trailers are no headers (RFC 9110, 6.5.1), and nobody asks for them

    def on_body(self, body: bytes) -> None:
        self._extra -= FRAMING * len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self.since = None
        self._headed = False
        super().on_message_complete()

    def resume_writing(self) -> None:
        self._unsent = None
        super().resume_writing()

    def sweep(self, now: float) -> None:
        """Close the connection if its client has had its time."""
        if not self.transport.get_write_buffer_size():
            self._unsent = None
        elif self._unsent is None:
            self._unsent = now
        elif now - self._unsent > limits.SEND_SECONDS:
            self.config.app.refused(UNREAD)
            self.transport.abort()
            return
        if self.since is not None and now - self.since > limits.RECEIVE_SECONDS:
            self._refuse(TOO_SLOW)

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _refuse(self, refusal: Refusal) -> None:
        """End the connection, with an answer if the refused message is the next one to be answered."""
        if self._deaf:
            return
        self.config.app.refused(refusal.code)
        cycle = self.cycle
        waiting = cycle is not None and not cycle.response_complete
        if waiting and not self._headed:  # for requests before the refused one: they are answered
            self._hang_up()
            return
        self._deaf, self.since = True, None
        if not self._headed or not (self.pipeline or cycle.response_started):
            self.transport.write(refusal.answer)
        self._forget()
        self.transport.close()

    def _forget(self) -> None:
        """Nothing more is written for any request. uvicorn sees to the last one only, and logs the others' attempts."""
        for one in (*self._row, self.cycle) if self.cycle else ():
            one.disconnected = True
            one.message_event.set()

    def _hang_up(self) -> None:
        """Close the connection when what has been asked is answered."""
        self._deaf, self.since = True, None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
        else:
            self.cycle.keep_alive = False


async def sweep(connections: set[GuardedProtocol]) -> None:
    """Look after all connections, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(1)
        now = loop.time()
        for connection in list(connections):
            connection.sweep(now)


class Server(uvicorn.Server):
    """``context``: for TLS, or None."""

    def __init__(self, config: uvicorn.Config, context: ssl.SSLContext | None = None) -> None:
        super().__init__(config)
        self._context = context

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # uvicorn would let the process die of SIGTERM after draining; a service ends with 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        # uvicorn's own bounds neither the time of a handshake nor the connections that wait for one.
        inside = partial(GuardedProtocol, self.config, self.server_state, {})
        connections, loop = self.server_state.connections, asyncio.get_running_loop()
        self.servers = [
            Door(listener, self._context, inside, connections)
            if self._context
            else await loop.create_server(inside, sock=listener, backlog=BACKLOG)
            for listener in sockets or []
        ]
        self.started = True
