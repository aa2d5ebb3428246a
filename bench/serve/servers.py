"""The servers that are compared, each in a process of its own, on a port of its own, with the same model file."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from compress.bench.own import environments

PEERS = Path(__file__).with_name("peers")
PACKAGES = {
    "fastapi": ("fastapi==0.165.0", "uvicorn[standard]==0.54.0"),
    "litserve": ("litserve==0.2.19",),
    "bentoml": ("bentoml==1.4.39",),
    "kserve": ("kserve==0.21.0",),
}
ENGINE = ("onnxruntime==1.32.0", "numpy==2.4.6")


@dataclass
class Endpoint:
    """Where one kind of request goes, and what it is."""

    port: int
    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})

    def ask(self) -> bytes:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{self.path}", self.body, dict(self.headers))
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()


def environment(peer: str) -> Path:
    """The folder of programs of a peer's own environment, made when it is first needed."""
    return environments.environment(cache() / peer, (*PACKAGES[peer], *ENGINE), engines=()).parent


def cache() -> Path:
    return environments.cache() / "serve"


@contextmanager
def process(
    command: list[str | Path], *, core: int | None = None, **variables: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A process, and all that it started, until the block ends; on one ``core`` of the machine, or on all."""
    pinned = [] if core is None else ["taskset", "-c", str(core)]
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            [*pinned, *map(str, command)], env=os.environ | variables, stdout=said, stderr=said, start_new_session=True
        )
        try:
            yield child
        finally:
            os.killpg(child.pid, 15)
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, 9)
                child.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def wait_for(endpoint: Endpoint, child: subprocess.Popen[bytes], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            endpoint.ask()
            return
        except (urllib.error.URLError, ConnectionError):
            if child.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"the server for {endpoint.path} did not start: {child.args}") from None
            time.sleep(0.1)


@dataclass
class Own:
    """This project's server: one process, several ways to ask it."""

    pid: int
    infer_json: Endpoint
    infer_binary: Endpoint
    predict_json: Endpoint


@contextmanager
def own(model: Path, pixels: np.ndarray, *options: str, core: int | None = None) -> Iterator[Own]:
    from compress.bench.serve.bundling import bundled

    port = free_port()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        home = bundled(model, folder)
        command = [sys.executable, "-m", "edge_runtime.cli", "--home", home, "serve", "--bundle", folder / "m.edge"]
        child = stack.enter_context(process([*command, "--port", str(port), *options], core=core))
        tensor = {"name": "input", "shape": list(pixels.shape), "datatype": "UINT8"}
        as_json = {"inputs": [tensor | {"data": pixels.ravel().tolist()}]}
        as_bytes = {
            "inputs": [tensor | {"parameters": {"binary_data_size": pixels.nbytes}}],
            "parameters": {"binary_data_output": True},
        }
        head = json.dumps(as_bytes).encode()
        binary = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
        server = Own(
            child.pid,
            Endpoint(port, "/v2/models/bench/infer", json.dumps(as_json).encode()),
            Endpoint(port, "/v2/models/bench/infer", head + pixels.tobytes(), binary),
            Endpoint(port, "/predict", json.dumps({"data": pixels[0].tolist()}).encode()),
        )
        wait_for(server.infer_json, child)
        yield server


@contextmanager
def peer(name: str, model: Path, pixels: np.ndarray, workers: int) -> Iterator[Endpoint]:
    """A peer that takes {"data": [numbers]} at /predict."""
    port, bin_ = free_port(), environment(name)
    command = {
        "fastapi": [bin_ / "uvicorn", "--app-dir", PEERS, "fastapi_app:app", "--port", port, "--log-level", "warning"],
        "litserve": [bin_ / "python", PEERS / "litserve_app.py", port],
        "bentoml": [bin_ / "bentoml", "serve", "bentoml_app:Classifier", "--working-dir", PEERS, "--port", port],
    }[name]
    endpoint = Endpoint(port, "/predict", json.dumps({"data": pixels.ravel().tolist()}).encode())
    variables = {"MODEL": str(model), "WORKERS": str(workers), "BENTOML_DO_NOT_TRACK": "True", "DO_NOT_TRACK": "1"}
    with process(command, **variables) as child:
        wait_for(endpoint, child)
        yield endpoint


@contextmanager
def kserve(model: Path, own: Own) -> Iterator[Endpoint]:
    """KServe's server of the same protocol, asked what this project's is asked in bytes."""
    port, ours = free_port(), own.infer_binary
    endpoint = Endpoint(port, ours.path, ours.body, ours.headers)
    command = [environment("kserve") / "python", PEERS / "kserve_app.py", port]
    with process(command, MODEL=str(model)) as child:
        wait_for(endpoint, child)
        yield endpoint


@contextmanager
def bare(name: str, model: Path, body: bytes, *, core: int | None = None) -> Iterator[tuple[Endpoint, int]]:
    """``echo`` (no model) or ``direct`` (a model, and nothing else), on the same uvicorn with the same settings; and
    its process."""
    port = free_port()
    code = (
        f"import uvicorn; from {name}_app import app; "
        f"uvicorn.run(app, port={port}, ws='none', lifespan='off', access_log=False, server_header=False, "
        "proxy_headers=False, log_level='warning')"
    )
    endpoint = Endpoint(port, "/", body)
    with process([sys.executable, "-c", code], core=core, PYTHONPATH=str(PEERS), MODEL=str(model)) as child:
        wait_for(endpoint, child)
        yield endpoint, child.pid
