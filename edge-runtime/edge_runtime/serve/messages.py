"""One HTTP request as the application sees it, and one answer: headers, a bounded body, compression, JSON.

Starlette has all of this too; docs/decisions tells why three short classes take its place here.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import orjson

from edge_runtime.errors import BusyError, EdgeRuntimeError, MediaTypeError, RequestError, RequestTooLargeError

Receive = Callable[[], Awaitable[dict[str, Any]]]
Headers = list[tuple[bytes, bytes]]

JSON = b"application/json"
SINGLE = frozenset(
    {b"authorization", b"content-encoding", b"content-length", b"content-type", b"host", b"request-timeout"}
)
"""Headers that a request has once: with two of them, one of us and of those on the way might go by the other."""
COMPRESSIBLE = 1400
"""Bytes from which on an answer is compressed for a client that takes it: less fits into one packet anyway."""
WINDOW_BITS = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}
"""zlib's parameter for each content encoding."""


class Gone(Exception):
    """The client went away before its request was complete: nobody is there to answer."""


class Budget:
    """Bytes of all bodies that are held at one time."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0

    def take(self, count: int) -> None:
        """Raises BusyError when that would be too much."""
        if self.held + count > self.most:
            raise BusyError(f"all requests together hold {self.most} bytes already; send this again in a second")
        self.held += count

    def give(self, count: int) -> None:
        self.held -= count


class Request:
    """``budget``: what its body is counted in until ``finish``."""

    __slots__ = ("_budget", "_held", "_receive", "headers", "method", "path", "scope")

    def __init__(self, scope: dict[str, Any], receive: Receive, budget: Budget) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self._receive = receive
        self._budget = budget
        self._held = 0

    def check_headers(self) -> None:
        """Raises RequestError when a header that stands alone is there twice."""
        if len(self.headers) == len(self.scope["headers"]):
            return
        names = [name for name, _ in self.scope["headers"]]
        for name in SINGLE:
            if names.count(name) > 1:
                raise RequestError(f"header {name.decode()}: is there {names.count(name)} times; send it once")

    def media_type(self) -> bytes:
        """The type of its body, lower case and without parameters."""
        return self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()

    async def body(self, most: int) -> bytes:
        """The whole body, decompressed. Raises RequestTooLargeError once it is known to be, MediaTypeError, Gone."""
        if self._declared() > most:
            raise _too_large(most)
        message = await self._receive()
        content = message.get("body", b"")
        self._take(len(content), most)
        if message.get("more_body"):
            parts = [content]
            while message.get("more_body"):
                message = await self._receive()
                parts.append(message.get("body", b""))
                self._take(len(parts[-1]), most)
            content = b"".join(parts)
        if message["type"] != "http.request":
            raise Gone
        encoding = self.headers.get(b"content-encoding", b"identity").strip().lower()
        return content if encoding in (b"identity", b"") else self._decompressed(content, encoding, most)

    def finish(self) -> None:
        """Its body is no longer held."""
        self._budget.give(self._held)
        self._held = 0

    def whole(self, name: bytes) -> int | None:
        """A header that is a whole number, or None when it is absent. Raises RequestError."""
        text = self.headers.get(name)
        if text is None:
            return None
        if not text.isdigit() or len(text) > 15:
            raise RequestError(f"header {name.decode()}: must be a whole number")
        return int(text)

    def _declared(self) -> int:
        return self.whole(b"content-length") or 0

    def _take(self, count: int, most: int) -> None:
        if self._held + count > most:
            raise _too_large(most)
        self._budget.take(count)
        self._held += count

    def _decompressed(self, content: bytes, encoding: bytes, most: int) -> bytes:
        if encoding not in WINDOW_BITS:
            raise MediaTypeError(f"content encoding {encoding.decode('latin-1')!r:.40}: send gzip, deflate, or none")
        machine = zlib.decompressobj(WINDOW_BITS[encoding])
        try:
            plain = machine.decompress(content, most + 1)
        except zlib.error as error:
            raise RequestError(f"the body is not {encoding.decode()}: {error}") from None
        if len(plain) > most:
            raise _too_large(most)
        if not machine.eof or machine.unused_data:
            raise RequestError(f"the body is not one whole {encoding.decode()} stream")
        self._take(len(plain), 2 * most)
        return plain


class Answer:
    """A status, headers and a body."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, body: bytes, media_type: bytes, headers: Headers | None = None) -> None:
        self.status = status
        self.body = body
        self.headers: Headers = [(b"content-type", media_type), *(headers or [])]

    def compress(self, accepted: bytes) -> None:
        """Compress the body, if that is worth it and the client takes it."""
        if len(self.body) < COMPRESSIBLE:
            return
        names = set(_accepted(accepted))
        self.headers.append((b"vary", b"accept-encoding"))
        if b"gzip" in names:
            self.body = gzip.compress(self.body, 1, mtime=0)
            self.headers.append((b"content-encoding", b"gzip"))
        elif b"deflate" in names:
            self.body = zlib.compress(self.body, 1)
            self.headers.append((b"content-encoding", b"deflate"))


def _accepted(header: bytes) -> Iterator[bytes]:
    """The encodings of an Accept-Encoding header that are not refused by a weight of 0 (RFC 9110, 12.5.3)."""
    for part in header.lower().split(b","):
        name, _, weight = (piece.strip() for piece in part.partition(b";"))
        if weight.replace(b" ", b"") not in (b"q=0", b"q=0.0", b"q=0.00", b"q=0.000"):
            yield name


def json_answer(value: Any, status: int = 200) -> Answer:
    return Answer(status, orjson.dumps(value), JSON)


def error_answer(error: EdgeRuntimeError) -> Answer:
    """What a client is told of an error: one sentence, a code to compare, and the status that goes with it."""
    answer = json_answer({"error": str(error), "code": error.code}, error.status)
    if error.status == 401:
        answer.headers.append((b"www-authenticate", b"Bearer"))
    if (seconds := getattr(error, "retry_after", None)) is not None:
        answer.headers.append((b"retry-after", b"%d" % seconds))
    return answer


def _too_large(most: int) -> RequestTooLargeError:
    return RequestTooLargeError(
        f"a body may have {most} bytes; send less, or start the server with a larger --max-body"
    )
