"""What the tests of the server share: requests without a network, and a server in a process of its own.

async with application() as app:               # digits 1 behind the ASGI application
    answer = await call(app, "GET", "/v2")
with running("--bundle", path) as server:      # the real thing, on a free port
    server.call("GET", "/v2")
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bundles import KEY, golden, make_bundle, tiny_model

from edge_runtime.bundle.archive import unpack
from edge_runtime.bundle.contents import Contents
from edge_runtime.model import Model
from edge_runtime.serve.app import Application
from edge_runtime.serve.auth import Access
from edge_runtime.serve.core import Service, Settings

INFER = "/v2/models/digits/infer"
TOKEN = "a-token-of-many-letters"


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The stable code of a refusal, whose shape is checked by the way."""
        assert set(self.json) == {"error", "code"}
        return self.json["code"]


def unpacked(folder: Path, sequence: int = 1, seed: int = 0, **changes: Any) -> Contents:
    """The bundle ``sequence`` of the tiny model ``seed``, unpacked below ``folder``."""
    place = folder / f"{sequence}-{seed}"
    place.mkdir()
    return unpack(make_bundle(folder, sequence=sequence, model=tiny_model(seed), **changes), place, [KEY.public])


def expected(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Eight inputs, and what the tiny model ``seed`` makes of them."""
    return golden(tiny_model(seed))


@asynccontextmanager
async def application(
    contents: Contents | None = None,
    access: Access | None = None,
    *,
    settings: Settings | None = None,
    observers: tuple[Any, ...] = (),
    **options: Any,
) -> AsyncIterator[Application]:
    service = Service(settings or Settings(threads=1), observers=observers)
    if contents is not None:
        await service.switch(lambda: Model(contents))
    try:
        yield Application(service, access, **options)
    finally:
        await service.close()


async def call(
    app: Application,
    method: str,
    path: str,
    body: bytes | list[bytes] = b"",
    headers: dict[str, str] | None = None,
) -> Reply:
    """One request, without a network. A list is a body that comes in pieces."""
    pieces = body if isinstance(body, list) else [body]
    messages = [
        {"type": "http.request", "body": piece, "more_body": number < len(pieces) - 1}
        for number, piece in enumerate(pieces)
    ]
    received = iter(messages)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return next(received, {"type": "http.disconnect"})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
    }
    await app(scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    told = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    assert int(told["content-length"]) == len(sent[1]["body"])
    return Reply(sent[0]["status"], told, sent[1]["body"])


def ask(method: str, path: str, *arguments: Any, contents: Contents | None = None, **options: Any) -> Reply:
    """One request to an application of its own."""

    async def scenario() -> Reply:
        async with application(contents, **options) as app:
            return await call(app, method, path, *arguments)

    return asyncio.run(scenario())


def infer_json(pixels: np.ndarray, **changes: Any) -> bytes:
    tensor = {"name": "input", "shape": list(pixels.shape), "datatype": "UINT8", "data": pixels.ravel().tolist()}
    return json.dumps({"inputs": [tensor], **changes}).encode()


def infer_binary(pixels: np.ndarray, **changes: Any) -> tuple[bytes, dict[str, str]]:
    """A body and its headers, for an answer in bytes too."""
    tensor = {
        "name": "input",
        "shape": list(pixels.shape),
        "datatype": "UINT8",
        "parameters": {"binary_data_size": pixels.nbytes},
    }
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}, **changes}).encode()
    return head + pixels.tobytes(), {"Inference-Header-Content-Length": str(len(head))}


def logits(reply: Reply) -> np.ndarray:
    """The one output of an answer to an inference request, JSON or bytes."""
    assert reply.status == 200, reply.body
    length = reply.headers.get("inference-header-content-length")
    if length is None:
        [output] = reply.json["outputs"]
        return np.array(output["data"], np.float32).reshape(output["shape"])
    [output] = json.loads(reply.body[: int(length)])["outputs"]
    assert output["parameters"]["binary_data_size"] == len(reply.body) - int(length)
    return np.frombuffer(reply.body, "<f4", offset=int(length)).reshape(output["shape"])


class Server:
    """A server in a process of its own; ``log``: the objects it has logged."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self._log = log
        self.port = 0

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def call(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return Reply(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


@contextmanager
def running(
    *arguments: str | Path,
    home: Path,
    ready: bool = True,
    caps: dict[str, float] | None = None,
    first: str = "",
    **environment: str,
) -> Iterator[Server]:
    """``edge-runtime serve`` with these arguments, once it listens (and, with ``ready``, once its model answers).

    ``caps``: other values for names in ``limits``. ``first``: lines of Python that the process runs before."""
    keys = home / "keys"
    keys.mkdir(exist_ok=True)
    (keys / "tests.pub").write_text(KEY.public.line())
    with tempfile.NamedTemporaryFile("w", suffix=".log") as log:
        code = (
            f"import sys; from edge_runtime import limits; vars(limits).update({caps or {}!r}); "
            f"from edge_runtime.cli import main\n{first}\nsys.exit(main())"
        )
        command = [sys.executable, "-c", code, "--home", home, "serve", "--port", "0", *arguments]
        process = subprocess.Popen(
            list(map(str, command)), stderr=log, stdout=subprocess.DEVNULL, text=True, env=os.environ | environment
        )
        server = Server(process, Path(log.name))
        try:
            wait_until(lambda: listening(server) or process.poll() is not None)
            assert process.poll() is None, Path(log.name).read_text()
            if ready:
                wait_until(lambda: server.call("GET", "/v2/health/ready").status == 200)
            yield server
        finally:
            process.kill()
            process.wait()


def listening(server: Server) -> bool:
    text = server._log.read_text()
    found = re.search(r'"message": "listening", "address": \["[^"]+", (\d+)\]', text)
    server.port = int(found[1]) if found else 0
    return bool(found) or '"message": "listening"' in text


def wait_until(what: Any, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def secret(path: Path, text: str = TOKEN, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def refused(*arguments: str | Path, home: Path) -> str:
    """What is said by a server that does not start."""
    command = [sys.executable, "-m", "edge_runtime.cli", "--home", home, "serve", "--port", "0", *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=30)
    assert done.returncode == 1, done.stderr
    return done.stderr
