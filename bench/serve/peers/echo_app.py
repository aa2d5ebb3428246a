"""An application that reads a body and sends a short answer: what a request costs before there is a model."""

from __future__ import annotations

ANSWER = b'{"model_name":"echo"}' + b" " * 100


async def app(scope, receive, send):
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": ANSWER})
