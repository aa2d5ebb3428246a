"""Resident memory of a process that answers with a bundle, step by step: what each step adds, in a fresh process.

Read from /proc/self/status. ``anonymous`` memory is the process's alone; ``file`` pages are libraries and files mapped
into it, which the system can drop and read again, and which processes with the same libraries share.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from edge_runtime.bundle import archive, signature
from edge_runtime.bundle.manifest import Manifest

CODE = r"""
import json, sys

def note(step):
    with open("/proc/self/status") as status:
        fields = dict(line.split(":") for line in status if line.startswith(("VmRSS", "VmHWM", "RssAnon", "RssFile")))
    told.append({"step": step} | {name: int(text.split()[0]) * 1024 for name, text in fields.items()})

told = []
note("the interpreter")
import numpy as np
note("numpy")
import edge_runtime.model, edge_runtime.bundle.signature
edge_runtime.bundle.signature._nacl()
note("edge_runtime and PyNaCl")
import onnxruntime
note("onnxruntime")
key = edge_runtime.bundle.signature.load_public(sys.argv[2])
model = edge_runtime.model.open_model(sys.argv[1], keys=[key])
note("the bundle opened")
spec = model.contents.manifest.inputs[0]
shape = tuple(size or 1 for size in spec.shape)
sample = np.random.default_rng(0).integers(0, 2, shape).astype(spec.dtype)
for _ in range(200):
    model.interpret(model.infer({spec.name: sample})[model.contents.manifest.outputs[0].name])
note("200 answers")
print(json.dumps(told))
"""


LIMIT = 110e6
"""Bytes that a process which serves a model of 1 MB may have resident."""


def steps(bundle: Path, key: Path, *, environment: dict[str, str] | None = None) -> list[dict[str, int | str]]:
    """``VmRSS``, ``VmHWM`` (its peak), ``RssAnon`` and ``RssFile`` in bytes after each ``step``."""
    command = [sys.executable, "-c", CODE, str(bundle), str(key)]
    output = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}
    )
    return json.loads(output.stdout)


def serving(bundle: Path, key: Path, *, requests: int = 500) -> dict[str, int | str]:
    """The same of a server (``edge-runtime serve``) after that many requests for the golden inputs, as JSON."""
    with tempfile.TemporaryDirectory() as temporary:
        home, folder = Path(temporary, "home"), Path(temporary, "unpacked")
        (home / "keys").mkdir(parents=True)
        folder.mkdir()
        shutil.copy(key, home / "keys" / "key.pub")
        contents = archive.unpack(bundle, folder, [signature.load_public(key)])
        inputs = contents.array(contents.manifest.golden["inputs"])
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, "-m", "edge_runtime.cli", "--home", str(home), "serve", "--bundle", str(bundle)]
        with subprocess.Popen([*command, "--port", str(port), "--log-level", "error"]) as server:
            try:
                _ask(port, contents.manifest, inputs, requests)
                return {"step": f"{requests} requests to edge-runtime serve"} | _status(server.pid)
            finally:
                server.terminate()


def _ask(port: int, manifest: Manifest, inputs: np.ndarray, requests: int) -> None:
    spec = manifest.inputs[0]
    datatype = {"f": "FP", "u": "UINT", "i": "INT"}[inputs.dtype.kind] + str(8 * inputs.dtype.itemsize)
    bodies = [
        json.dumps(
            {"inputs": [{"name": spec.name, "shape": one.shape, "datatype": datatype, "data": one.ravel().tolist()}]}
        )
        for one in (inputs[index : index + 1] for index in range(len(inputs)))
    ]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    give_up = time.monotonic() + 60
    while not _ready(connection):
        if time.monotonic() > give_up:
            raise RuntimeError("the server was not ready within a minute")
        time.sleep(0.1)
    for index in range(requests):
        connection.request("POST", f"/v2/models/{manifest.name}/infer", bodies[index % len(bodies)])
        response = connection.getresponse()
        content = response.read()
        if response.status != 200:
            raise RuntimeError(f"the server answered {response.status}: {content[:500]!r}")
    connection.close()


def _ready(connection: http.client.HTTPConnection) -> bool:
    try:
        connection.request("GET", "/v2/health/ready")
        response = connection.getresponse()
        response.read()
        return response.status == 200
    except ConnectionError:
        connection.close()
        return False


def _status(pid: int) -> dict[str, int]:
    fields = dict(line.split(":") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {name: int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM", "RssAnon", "RssFile")}


def table(found: list[dict[str, int | str]]) -> list[str]:
    lines = ["| after | resident MB | more | anonymous | file |", "|---|---:|---:|---:|---:|"]
    before = 0
    for row in found:
        rss, anonymous, file = (row[name] / 1e6 for name in ("VmRSS", "RssAnon", "RssFile"))
        lines.append(f"| {row['step']} | {rss:.1f} | {rss - before:.1f} | {anonymous:.1f} | {file:.1f} |")
        before = rss
    return lines
