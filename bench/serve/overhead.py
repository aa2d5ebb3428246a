"""What the way over HTTP costs, in milliseconds: binary tensors against the session alone, and at 70 % load.

    python -m compress.bench.serve.overhead [MODEL.onnx] [--seconds 5]

1. One client, one request after the other: p50 over HTTP minus p50 of the same session called directly, here and on
   KServe's own server, asked the same.
2. At 70 % of the server's own throughput, requests sent on a fixed schedule, whether answers come or not: p99 from the
   moment a request was due, against that of an application without a model at the same rate on the same uvicorn.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import numpy as np

from compress.bench.quantize.packages import tell
from compress.bench.serve import servers
from compress.bench.serve.throughput import MODEL
from compress.bench.serve.wrk import load
from edge_runtime import open_session

SHARE = 0.7
GOAL = 1.5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path, default=MODEL)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=16)
    arguments = parser.parse_args()
    model = arguments.model.resolve()
    pixels = np.random.default_rng(0).integers(0, 256, (1, 1, 28, 28), dtype=np.uint8)
    lines: list[tuple[bool | None, str]] = []
    with ExitStack() as stack:
        own = stack.enter_context(servers.own(model, pixels))
        echo = stack.enter_context(servers.echo())
        echo.body, echo.headers = own.infer_binary.body, own.infer_binary.headers
        session = stack.enter_context(open_session(model))
        ends = {"http": own.infer_binary, "echo": echo}
        alone: dict[str, list[float]] = {"http": [], "echo": [], "kserve": [], "session": []}
        ends_alone = ends | {"kserve": stack.enter_context(servers.kserve(model, own))}
        for _ in range(arguments.rounds):
            for name, endpoint in ends_alone.items():
                alone[name].append(load(endpoint, connections=1, seconds=1).p50)
            alone["session"].append(_session(session, pixels))
        p50 = {name: median(values) * 1e3 for name, values in alone.items()}
        lines.append(
            (p50["http"] <= p50["kserve"], f"p50, one at a time: {p50['http']:.3f} ms over HTTP, "
             f"{p50['session']:.3f} ms in the session, {p50['http'] - p50['session']:.3f} ms between them; kserve's "
             f"{p50['kserve'] - p50['session']:.3f} ms; {p50['echo']:.3f} ms without a model")
        )  # fmt: skip
        full = load(own.infer_binary, connections=arguments.connections, seconds=arguments.seconds).per_second
        rate = SHARE * full
        tails: dict[str, list[float]] = {"http": [], "echo": []}
        for _ in range(arguments.rounds):
            for name, endpoint in ends.items():
                times = asyncio.run(paced(endpoint, rate, arguments.seconds, arguments.connections))
                tails[name].append(float(np.percentile(times, 99)))
        p99 = {name: median(values) for name, values in tails.items()}
        ratio = p99["http"] / p99["echo"]
        lines.append(
            (ratio <= GOAL, f"p99 at {rate:.0f} requests/s ({SHARE:.0%} of {full:.0f}): {p99['http'] * 1e3:.2f} ms, "
             f"{ratio:.2f} x the {p99['echo'] * 1e3:.2f} ms of an echo, goal {GOAL} x")
        )  # fmt: skip
    return tell(lines)


def _session(session: object, pixels: np.ndarray) -> float:
    times = []
    end = time.perf_counter() + 1
    while time.perf_counter() < end:
        started = time.perf_counter()
        session.predict(pixels)
        times.append(time.perf_counter() - started)
    return median(times)


async def paced(endpoint: servers.Endpoint, rate: float, seconds: float, connections: int) -> list[float]:
    """Times from when each request was due to its answer, in seconds; due ones wait for a free connection."""
    lines = [f"POST {endpoint.path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(endpoint.body)}"]
    lines += [f"{name}: {value}" for name, value in endpoint.headers.items()]
    request = "\r\n".join(lines).encode() + b"\r\n\r\n" + endpoint.body
    due: asyncio.Queue[float | None] = asyncio.Queue()
    times: list[float] = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
        while (moment := await due.get()) is not None:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.partition(b":")[2]))
            times.append(time.perf_counter() - moment)
        writer.close()

    clients = [asyncio.create_task(client()) for _ in range(connections)]
    start, sent = time.perf_counter() + 0.05, 0
    while sent < rate * seconds:
        now = time.perf_counter()
        while start + sent / rate <= now:
            due.put_nowait(start + sent / rate)
            sent += 1
        await asyncio.sleep(max(0.0, start + sent / rate - time.perf_counter()))
    for _ in clients:
        due.put_nowait(None)
    await asyncio.gather(*clients)
    return times


if __name__ == "__main__":
    sys.exit(main())
