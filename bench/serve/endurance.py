"""Endurance: at saturation for a given time, is an answer lost or wrong, and does memory stay flat?

    python -m compress.bench.serve.endurance [MODEL.onnx] [--seconds 600]

Connections send one of 64 pictures each as fast as answers come, half of them in bytes and half as JSON, and compare
every answer with what the session gives. Memory is the server's resident set, after a tenth of the time and at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path

import numpy as np

from compress.bench.quantize.packages import tell
from compress.bench.serve import servers
from compress.bench.serve.throughput import MODEL
from edge_runtime import open_session

FLAT = 0.03
"""Growth of memory that is called flat, as a share."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path, default=MODEL)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--connections", type=int, default=16)
    arguments = parser.parse_args()
    model = arguments.model.resolve()
    pixels = np.random.default_rng(0).integers(0, 256, (64, 1, 28, 28), dtype=np.uint8)
    with open_session(model) as session:
        truth = np.concatenate([session.predict(one[None]) for one in pixels])
    with servers.own(model, pixels[:1]) as own:
        found = asyncio.run(_run(own, pixels, truth, arguments.seconds, arguments.connections))
    right, wrong, lost, early, late = found
    growth = late / early - 1
    return tell(
        [
            (wrong == 0 and lost == 0, f"{right} right, {wrong} wrong, {lost} lost in {arguments.seconds:g} s"),
            (growth < FLAT, f"memory {early / 1e6:.1f} MB, then {late / 1e6:.1f} MB ({growth:+.1%})"),
        ]
    )


async def _run(
    own: servers.Own, pixels: np.ndarray, truth: np.ndarray, seconds: float, connections: int
) -> tuple[int, int, int, int, int]:
    end = time.monotonic() + seconds
    counts = {"right": 0, "wrong": 0, "lost": 0}
    scale = float(np.abs(truth).max())

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", own.infer_json.port)
        picture = number
        try:
            while time.monotonic() < end:
                picture = (picture + 1) % len(pixels)
                writer.write(_request(own, pixels[picture : picture + 1], binary=number % 2 == 0))
                got = await _answer(reader)
                # As near as a batch may differ from a single sample in the last bits of a float sum.
                key = "right" if got is not None and np.abs(got - truth[picture]).max() < 1e-4 * scale else "wrong"
                counts[key] += 1
        except (OSError, asyncio.IncompleteReadError):
            counts["lost"] += 1
        finally:
            writer.close()

    async def memory() -> int:
        await asyncio.sleep(seconds / 10)
        return _resident(own.pid)

    early, *_ = await asyncio.gather(memory(), *(client(number) for number in range(connections)))
    return counts["right"], counts["wrong"], counts["lost"], early, _resident(own.pid)


def _request(own: servers.Own, pixels: np.ndarray, *, binary: bool) -> bytes:
    endpoint = own.infer_binary if binary else own.infer_json
    if binary:
        head = int(endpoint.headers["Inference-Header-Content-Length"])
        body = endpoint.body[:head] + pixels.tobytes()
    else:
        request = json.loads(endpoint.body)
        request["inputs"][0]["data"] = pixels.ravel().tolist()
        body = json.dumps(request).encode()
    lines = [f"POST {endpoint.path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in endpoint.headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def _answer(reader: asyncio.StreamReader) -> np.ndarray | None:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    headers = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
    body = await reader.readexactly(int(headers[b"content-length"]))
    if not head.startswith(b"http/1.1 200"):
        return None
    length = headers.get(b"inference-header-content-length")
    if length is None:
        return np.array(json.loads(body)["outputs"][0]["data"], np.float32)
    return np.frombuffer(body, "<f4", offset=int(length))


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


if __name__ == "__main__":
    sys.exit(main())
