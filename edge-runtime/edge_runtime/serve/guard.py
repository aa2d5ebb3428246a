"""What uvicorn leaves to a proxy in front of it, and a device has none: bounds on connections, headers and patience.

A connection is refused beyond ``limits.CONNECTIONS``. One whose headers grow too long, or whose request does not come
whole in time, or that is opened and says nothing, is closed. One sweep over all connections a second takes the place
of a timer for each.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from edge_runtime import limits


def refusal(status: bytes, code: bytes, message: bytes) -> bytes:
    body = b'{"error":"%s","code":"%s"}' % (message, code)
    return b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s" % (
        status,
        len(body),
        body,
    )


CROWDED = refusal(
    b"503 Service Unavailable", b"connections-full", b"too many connections are open; close some, or come back later"
)
TOO_LONG = refusal(b"431 Request Header Fields Too Large", b"headers-too-large", b"the headers are too long")
TOO_SLOW = refusal(b"408 Request Timeout", b"request-too-slow", b"the request did not come whole in time")


class GuardedProtocol(HttpToolsProtocol):
    """One connection. ``since``: when it began to be waited for (the loop's seconds); None while we owe an answer."""

    since: float | None
    _header_bytes: int | None

    def connection_made(self, transport: Any) -> None:
        self.since = self.loop.time()
        self._header_bytes = 0
        super().connection_made(transport)
        if len(self.connections) > limits.CONNECTIONS:
            transport.write(CROWDED)
            transport.close()

    def data_received(self, data: bytes) -> None:
        if self._header_bytes is not None:
            self._header_bytes += len(data)
        super().data_received(data)
        # Counted in what came before the headers were complete, so a body that came with them does not count.
        if self._header_bytes is not None and self._header_bytes > limits.HEADERS_BYTES:
            self._end(TOO_LONG)

    def on_message_begin(self) -> None:
        self.since = self.loop.time()
        self._header_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._header_bytes = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self.since = None
        super().on_message_complete()

    def sweep(self, now: float) -> None:
        """Close the connection if its client has had its time."""
        if self.since is not None and now - self.since > limits.RECEIVE_SECONDS:
            self._end(TOO_SLOW)

    def _end(self, answer: bytes) -> None:
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(answer)
        self.transport.close()


async def sweep(connections: set[GuardedProtocol]) -> None:
    """Look after all connections, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(1)
        now = loop.time()
        for connection in list(connections):
            connection.sweep(now)
