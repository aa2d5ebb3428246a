"""What the way over HTTP costs, in milliseconds: binary tensors against the session alone, and at 70 % load.

    python -m compress.bench.serve.overhead [MODEL.onnx] [--rounds 5] [--seconds 1]

1. One client, one request after the other: p50 over HTTP minus p50 of the same session called directly, here and on
   KServe's own server, asked the same.
2. The server on the first core of the machine, the client on the last, requests on a fixed schedule at 70 % of what
   the server manages so. p99 from when a request was due, at the same rate on the same uvicorn, of the server, of an
   application that answers without a model ("echo"), and of one that runs the model in its handler and checks nothing
   ("direct"). An inference takes longer than an echo does, so what is left of the server's p99 without the session's
   own time is compared with the echo's too.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

from compress.bench.quantize.packages import tell
from compress.bench.serve import servers
from compress.bench.serve.calm import calm_rounds
from compress.bench.serve.paced import paced
from compress.bench.serve.throughput import MODEL
from compress.bench.serve.wrk import load
from edge_runtime import open_session

SHARE = 0.7
GOAL = 1.5

Lines = list[tuple[bool | None, str]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path, default=MODEL)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each round under load")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--patience", type=float, default=120.0, help="seconds in which calm rounds are looked for")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--only", choices=("alone", "load"))
    arguments = parser.parse_args()
    model = arguments.model.resolve()
    pixels = np.random.default_rng(0).integers(0, 256, (1, 1, 28, 28), dtype=np.uint8)
    lines: Lines = []
    if arguments.only != "load":
        lines += _alone(model, pixels, arguments.rounds)
    if arguments.only != "alone":
        lines += _under_load(
            model, pixels, arguments.rounds, arguments.seconds, arguments.connections, arguments.patience
        )
    return tell(lines)


def _alone(model: Path, pixels: np.ndarray, rounds: int) -> Lines:
    with ExitStack() as stack:
        own = stack.enter_context(servers.own(model, pixels))
        echo, _ = stack.enter_context(servers.bare("echo", model, own.infer_binary.body))
        session = stack.enter_context(open_session(model))
        ends = {"http": own.infer_binary, "echo": echo, "kserve": stack.enter_context(servers.kserve(model, own))}
        found: dict[str, list[float]] = {name: [] for name in (*ends, "session")}
        for _ in range(rounds):
            for name, endpoint in ends.items():
                found[name].append(load(endpoint, connections=1, seconds=1).p50)
            found["session"].append(_session(session, pixels))
    p50 = {name: median(values) * 1e3 for name, values in found.items()}
    words = (
        f"p50, one at a time: {p50['http']:.3f} ms over HTTP, {p50['session']:.3f} ms in the session, "
        f"{p50['http'] - p50['session']:.3f} ms between them; kserve's {p50['kserve'] - p50['session']:.3f} ms; "
        f"{p50['echo']:.3f} ms without a model"
    )
    return [(p50["http"] <= p50["kserve"], words)]


def _under_load(
    model: Path, pixels: np.ndarray, rounds: int, seconds: float, connections: int, patience: float
) -> Lines:
    cores = sorted(os.sched_getaffinity(0))
    here, there = cores[0], cores[-1]
    with ExitStack() as stack:
        own = stack.enter_context(servers.own(model, pixels, core=here))
        ends, pids = {"server": own.infer_binary}, [own.pid]
        for name in ("echo", "direct"):
            ends[name], pid = stack.enter_context(servers.bare(name, model, own.infer_binary.body, core=here))
            ends[name].headers = own.infer_binary.headers
            pids.append(pid)
        session = stack.enter_context(open_session(model))
        load(own.infer_binary, connections=connections, seconds=1, core=there)
        full = max(load(own.infer_binary, connections=connections, seconds=2, core=there).per_second for _ in range(3))
        measures = {
            name: partial(paced, endpoint, SHARE * full, seconds, connections, there) for name, endpoint in ends.items()
        }
        found = calm_rounds(measures, pids, rounds, patience)
        own_time = min(_session(session, pixels) for _ in range(3)) * 1e3
    lines: Lines = [(None, f"{SHARE * full:.0f} requests/s, {SHARE:.0%} of {full:.0f}; the session: {own_time:.3f} ms")]
    if not all(found.values()):
        return [*lines, (False, f"no round in {patience:.0f} s in which nothing else ran on this machine")]
    p99 = {}
    for name, all_times in found.items():
        p50, p99[name], late = (median(getattr(times, what) for times in all_times) for what in ("p50", "p99", "late"))
        p99[name] *= 1e3
        words = f"{name:6} p50 {p50 * 1e3:.3f} ms, p99 {p99[name]:.3f} ms, {late:.1%} sent late"
        lines.append((None, f"{words}, median of {len(all_times)} calm rounds"))
    beyond = p99["server"] - own_time
    for value, other, what in (
        (p99["server"], p99["echo"], "p99 against the echo's"),
        (beyond, p99["echo"], f"p99 less the session's time, {beyond:.3f} ms, against the echo's"),
        (p99["server"], p99["direct"], "p99 against the direct application's"),
    ):
        lines.append((value / other <= GOAL, f"{what}: {value / other:.2f} x, goal {GOAL} x"))
    return lines


def _session(session: object, pixels: np.ndarray) -> float:
    times = []
    end = time.perf_counter() + 1
    while time.perf_counter() < end:
        started = time.perf_counter()
        session.predict(pixels)
        times.append(time.perf_counter() - started)
    return median(times)


if __name__ == "__main__":
    sys.exit(main())
