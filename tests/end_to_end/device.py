"""A device for the end-to-end tests: a home, the command line, and a server in a process of its own."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-m", "edge_runtime.cli"]
PATIENCE = 60.0
"""Seconds after which something that should have happened has not."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(condition: Callable[[], Any], what: str, *, seconds: float = PATIENCE) -> Any:
    """What ``condition`` returns, once that is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"after {seconds:g} s there was still no {what}"
        time.sleep(0.05)
    return found


@dataclass
class Device:
    home: Path
    port: int = field(default_factory=free_port)
    server: subprocess.Popen | None = None

    def command(self, *arguments: object) -> subprocess.CompletedProcess:
        words = [*COMMAND, "--home", str(self.home), *map(str, arguments)]
        return subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE)

    def run(self, *arguments: object) -> str:
        """What a command that must succeed prints."""
        done = self.command(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def status(self) -> dict[str, Any]:
        return json.loads(self.run("status", "--json"))

    def sequence(self) -> int:
        """The sequence number of the current version."""
        return self.status()["current"]["sequence"]

    def start(self, *, ready: bool = True) -> None:
        log = (self.home.parent / f"{self.home.name}.log").open("ab")
        words = [*COMMAND, "--home", str(self.home), "serve", "--port", str(self.port)]
        with log:
            self.server = subprocess.Popen(words, stdout=log, stderr=log)
        if ready:
            until(self.ready, "server that is ready")

    def ready(self) -> bool:
        assert self.server.poll() is None, self.log()
        try:
            return self.ask("GET", "/v2/health/ready")[0] == 200
        except OSError:
            return False

    def stop(self) -> int:
        """Tell the server to stop, and wait until it has; its exit status."""
        server, self.server = self.server, None
        server.terminate()
        return server.wait(PATIENCE)

    def kill(self) -> None:
        if self.server is not None:
            self.server.kill()
            self.server.wait()
            self.server = None

    def log(self) -> str:
        return (self.home.parent / f"{self.home.name}.log").read_text()

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
        """Status and body, parsed, of one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            return exchange(connection, method, path, body, headers)
        finally:
            connection.close()

    def predict(self, picture: bytes) -> tuple[int, Any]:
        return self.ask("POST", "/predict", picture, **{"content-type": "image/png"})


def exchange(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None, headers: dict[str, str]
) -> tuple[int, Any]:
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    content = response.read()
    return response.status, json.loads(content) if content else None


class Load:
    """Clients that ask for one picture after the other, each on a connection that it keeps, until told to stop.

    ``answers``: (index of the picture, status, parsed body) of every request; ``errors``: requests without an answer.
    """

    def __init__(self, device: Device, pictures: list[bytes], *, clients: int = 3) -> None:
        self.device, self.pictures = device, pictures
        self.answers: list[tuple[int, int, Any]] = []
        self.errors: list[str] = []
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def seen(self, version: int) -> bool:
        """Whether a version has answered."""
        return any(body.get("model_version") == str(version) for _, status, body in self.answers[-50:] if status == 200)

    def _ask(self, turn: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.device.port, timeout=PATIENCE)
        while not self._stopping.is_set():
            index = turn % len(self.pictures)
            turn += 1
            try:
                headers = {"content-type": "image/png"}
                status, body = exchange(connection, "POST", "/predict", self.pictures[index], headers)
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(repr(error))
                connection.close()
            else:
                self.answers.append((index, status, body))
        connection.close()
