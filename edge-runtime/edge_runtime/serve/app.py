"""The ASGI application: addresses, who may use them, and what is answered; the work is ``core``'s.

Whoever asks is checked before the address is looked up, and the address before the
body is read. Every refusal is JSON with "error", a sentence, and "code", which stays the same from version to version.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

import orjson

import edge_runtime
from edge_runtime import limits
from edge_runtime.errors import (
    AdminError,
    DeadlineError,
    EdgeRuntimeError,
    MethodError,
    ModelUnknownError,
    NotReadyError,
    RequestError,
    RouteError,
    ServeError,
)
from edge_runtime.serve import openapi, protocol
from edge_runtime.serve.auth import Access
from edge_runtime.serve.core import Service
from edge_runtime.serve.items import item
from edge_runtime.serve.messages import JSON, Answer, Budget, Gone, Request, error_answer, json_answer
from edge_runtime.serve.metrics import MEDIA_TYPE
from edge_runtime.serve.outcomes import outcomes
from edge_runtime.serve.routes import NONE, ROUTES, TOKEN, allow, allowed, resolve
from edge_runtime.serve.sparing import Sparing

log = Sparing(logging.getLogger("edge_runtime.serve"))

LENGTH = b"inference-header-content-length"
TIMEOUT = b"request-timeout"
"""Header: seconds that a client is ready to wait, as a decimal number."""


class Application:
    """``reload``: puts the installed version to work and returns it; None where there is nothing to reload from."""

    def __init__(
        self,
        service: Service,
        access: Access | None = None,
        *,
        reload: Callable[[], Awaitable[str]] | None = None,
        max_body: int = limits.BODY_BYTES,
    ) -> None:
        self.service = service
        self.access = access or Access()
        self.max_body = max_body
        self._reloader = reload
        self._budget = Budget(max(limits.BODIES_BYTES, 4 * max_body))
        self._handlers: dict[str, Callable[..., Awaitable[Answer]]] = {
            endpoint: getattr(self, f"_{endpoint.replace('_version', '')}") for endpoint in ROUTES
        }

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await _other(scope, receive, send)
            return
        started = time.monotonic()
        endpoint = NONE
        request = Request(scope, receive, self._budget)
        try:
            request.check_headers()
            self.access.check_host(request.headers)
            endpoint, names = resolve(request.path)
            self.access.check_token(ROUTES[endpoint][2] if endpoint in ROUTES else TOKEN, request.headers)
            if endpoint not in ROUTES:
                raise RouteError(f"there is nothing at {request.path!r:.200}; /openapi.json lists what there is")
            if not allowed(endpoint, request.method):
                raise MethodError(f"{request.path!r:.200} takes {ROUTES[endpoint][0]}")
            answer = await self._handlers[endpoint](request, started, *names)
        except Gone:
            return
        except EdgeRuntimeError as error:
            answer = self._refusal(error, request)
        except Exception:
            log.error("a request failed", "internal", exc_info=True, endpoint=endpoint)
            answer = self._refusal(ServeError("this server failed; its log tells why"), request)
        finally:
            request.finish()
        if b"accept-encoding" in request.headers:
            answer.compress(request.headers[b"accept-encoding"])
        answer.headers.append((b"content-length", b"%d" % len(answer.body)))
        if self.service.draining:
            answer.headers.append((b"connection", b"close"))
        metrics = self.service.metrics
        metrics.requests.add(endpoint, str(answer.status))
        metrics.request.observe(time.monotonic() - started, endpoint)
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})

    def refused(self, code: str) -> None:
        """Count what was refused before it became a request."""
        self.service.metrics.errors.add(code)

    def _refusal(self, error: EdgeRuntimeError, request: Request) -> Answer:
        self.service.metrics.errors.add(error.code)
        # Those two are counted, and every client can cause as many as it likes.
        if error.status >= 500 and not isinstance(error, (NotReadyError, DeadlineError)):
            log.error(str(error), error.code)
        answer = error_answer(error)
        if isinstance(error, MethodError):
            answer.headers.append((b"allow", allow(resolve(request.path)[0])))
        return answer

    async def _live(self, request: Request, started: float) -> Answer:
        return json_answer({"live": True})

    async def _ready(self, request: Request, started: float) -> Answer:
        if not self.service.ready:
            raise NotReadyError("the server is about to stop" if self.service.draining else "no model is loaded yet")
        return json_answer({"ready": True})

    async def _server(self, request: Request, started: float) -> Answer:
        return json_answer(
            {"name": "edge-runtime", "version": edge_runtime.__version__, "extensions": protocol.EXTENSIONS}
        )

    async def _model(self, request: Request, started: float, name: str, version: str | None = None) -> Answer:
        self._check_model(name, version)
        model = self.service.model
        described = {"name": name, "versions": [self.service.version], "platform": model.session.runtime}
        with self.service.using() as runner:
            return json_answer(described | runner.signature.metadata())

    async def _model_ready(self, request: Request, started: float, name: str, version: str | None = None) -> Answer:
        self._check_model(name, version)
        if self.service.draining:
            raise NotReadyError("the server is about to stop")
        return json_answer({"name": name, "ready": True})

    async def _infer(self, request: Request, started: float, name: str, version: str | None = None) -> Answer:
        self._check_model(name, version)
        body = await request.body(self.max_body)
        with self.service.using() as runner:
            # Again: another version may have taken over while the body came.
            self._check_model(name, version)
            asked = protocol.parse(body, request.whole(LENGTH), runner.signature)
            if TIMEOUT in request.headers:
                asked.timeout = min(_timeout(request), asked.timeout or limits.REQUEST_SECONDS)
            content, length = await self.service.infer(
                runner, asked, started, lambda outputs: protocol.render(asked, outputs, name, runner.version)
            )
        if length is None:
            return Answer(200, content, JSON)
        return Answer(200, content, b"application/octet-stream", [(LENGTH, b"%d" % length)])

    async def _predict(self, request: Request, started: float) -> Answer:
        self.service.model  # noqa: B018 - raises NotReadyError before the body is read
        body = await request.body(self.max_body)
        what = item(body, request.media_type(), request.headers.get(b"content-type", b""))
        timeout = _timeout(request) if TIMEOUT in request.headers else None
        with self.service.using() as runner:
            found = await self.service.predict(runner, what, started, timeout)
            return json_answer(
                {
                    "model_name": runner.model.contents.manifest.name,
                    "model_version": runner.version,
                    "label": found.label,
                    "index": found.index,
                    "confidence": found.confidence,
                    "top": [{"label": label, "confidence": share} for label, share in found.top],
                }
            )

    async def _metrics(self, request: Request, started: float) -> Answer:
        samples = [*self.service.samples(), *await self.service.audience.samples()]
        return Answer(200, self.service.metrics.text(samples), MEDIA_TYPE.encode())

    async def _openapi(self, request: Request, started: float) -> Answer:
        return Answer(200, _document(), JSON)

    async def _status(self, request: Request, started: float) -> Answer:
        service = self.service
        known: dict[str, Any] = {"ready": service.ready, "queue_samples": service.waiting, "model": None}
        if service.id is not None:
            name = service.model.contents.manifest.name
            known["model"] = {"name": name, "version": service.version, "id": service.id}
        return json_answer(known | {"alarms": [], "notes": []} | await service.audience.status())

    async def _reload(self, request: Request, started: float) -> Answer:
        if self._reloader is None:
            raise AdminError("this server has nothing to reload from; start it with --home")
        return json_answer({"version": await self._reloader()})

    async def _outcomes(self, request: Request, started: float) -> Answer:
        version, wrong = outcomes(await request.body(limits.OUTCOMES_BYTES))
        self._check_model(self.service.model.contents.manifest.name, version)
        if not self.service.audience:
            raise AdminError("nobody watches this server's model; start it with --home")
        await self.service.audience.labelled(wrong, version)
        return json_answer({"version": version, "samples": len(wrong)})

    def _check_model(self, name: str, version: str | None) -> None:
        """Raises ModelUnknownError unless it is the model and version that serve, NotReadyError while none does."""
        known = self.service.model.contents.manifest.name
        if name != known:
            raise ModelUnknownError(f"no model is named {name!r:.80}; this server has {known!r}")
        if version is not None and version != self.service.version:
            raise ModelUnknownError(
                f"version {version!r:.40} of {known!r} is not served; version {self.service.version} is"
            )


@cache
def _document() -> bytes:
    return orjson.dumps(openapi.document())


def _timeout(request: Request) -> float:
    text = request.headers[TIMEOUT]
    try:
        seconds = float(text) if len(text) <= 20 else -1.0
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise RequestError("header Request-Timeout: must be a number of seconds, such as 0.5")
    return min(seconds, limits.REQUEST_SECONDS)


async def _other(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The protocol's other kinds of connection: the server's start and end, and WebSockets, which there are none of."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await receive()
    await send({"type": "websocket.close", "code": 1000})
