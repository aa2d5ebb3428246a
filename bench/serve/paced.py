"""Requests on a fixed schedule, whether answers come or not, and how long each took from when it was due.

    python -m compress.bench.serve.paced '{"port": 8000, "path": "/", ...}' RATE SECONDS CONNECTIONS BODY_FILE [CORE]

A process of its own that polls without sleeping, on a core of its own: timers of event loops are as coarse as a
millisecond, which is more than what is measured here. A request that is due while all connections wait is sent late,
and its time counts from when it was due (so nothing is left out where a server stalls).
"""

from __future__ import annotations

import gc
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compress.bench.serve.servers import Endpoint


@dataclass(frozen=True)
class Times:
    """Seconds. ``late``: share of requests that were sent more than 0.1 ms after they were due."""

    p50: float
    p99: float
    p999: float
    late: float


def paced(endpoint: Endpoint, rate: float, seconds: float, connections: int = 16, core: int | None = None) -> Times:
    with tempfile.NamedTemporaryFile() as body:
        Path(body.name).write_bytes(endpoint.body)
        where = json.dumps({"port": endpoint.port, "path": endpoint.path, "headers": dict(endpoint.headers)})
        numbers = [str(rate), str(seconds), str(connections)]
        command = [sys.executable, "-m", "compress.bench.serve.paced", where, *numbers, body.name]
        if core is not None:
            command.append(str(core))
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Times(**json.loads(said))


def main() -> None:
    where, rate, seconds, connections, body, *core = sys.argv[1:]
    if core:
        os.sched_setaffinity(0, {int(core[0])})
    endpoint = Endpoint(body=Path(body).read_bytes(), **json.loads(where))
    times, late = _ask(endpoint, float(rate), float(seconds), int(connections))
    p50, p99, p999 = np.percentile(times, (50, 99, 99.9)).tolist()
    print(json.dumps({"p50": p50, "p99": p99, "p999": p999, "late": late}))


def _ask(endpoint: Endpoint, rate: float, seconds: float, connections: int) -> tuple[list[float], float]:
    lines = [f"POST {endpoint.path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(endpoint.body)}"]
    lines += [f"{name}: {value}" for name, value in endpoint.headers.items()]
    request = "\r\n".join(lines).encode() + b"\r\n\r\n" + endpoint.body
    poll, clients = select.epoll(), {}
    for _ in range(connections):
        client = socket.create_connection(("127.0.0.1", endpoint.port))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        clients[client.fileno()] = client
        poll.register(client, select.EPOLLIN)
    free, waiting, times, late = deque(clients), {}, [], 0
    pieces = dict.fromkeys(clients, b"")
    gc.disable()
    start, count, sent = time.perf_counter() + 0.05, int(rate * seconds), 0
    while len(times) < count:
        now = time.perf_counter()
        while sent < count and free and (due := start + sent / rate) <= now:
            number = free.popleft()
            waiting[number] = due
            clients[number].sendall(request)
            late += time.perf_counter() - due > 1e-4
            sent += 1
        for number, _ in poll.poll(0):
            piece = clients[number].recv(65536)
            now = time.perf_counter()
            pieces[number] += piece
            if not piece or _whole(pieces[number]):
                times.append(now - waiting.pop(number))
                if not pieces[number].startswith(b"HTTP/1.1 200"):
                    raise SystemExit(f"an answer was {pieces[number][:200]!r}")
                pieces[number] = b""
                free.append(number)
    return times, late / count


def _whole(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    length = head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
    return bool(length) and len(body) >= int(length)


if __name__ == "__main__":
    main()
