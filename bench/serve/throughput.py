"""Throughput of this server against what people write first: same model, same numbers, same run, interleaved.

    python -m compress.bench.serve.throughput [MODEL.onnx] [--rounds 5] [--seconds 3]

Every round loads each server in turn, in a fresh random order, while the others idle; a ratio is the median of its
rounds'. Peers get as many workers as this server has inference threads: one for every core.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import numpy as np

from compress.bench.quantize.packages import tell
from compress.bench.serve import servers
from compress.bench.serve.wrk import Load, load

MODEL = Path("runs/quickstart/models/this-machine/onnxruntime/quantize.onnx")
GOALS = {"fastapi": 1.5, "litserve": 2.0, "bentoml": 2.0}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path, default=MODEL)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of load on each server in a round")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--peers", nargs="*", default=list(GOALS))
    arguments = parser.parse_args()
    model = arguments.model.resolve()
    pixels = np.random.default_rng(0).integers(0, 256, (1, 1, 28, 28), dtype=np.uint8)
    workers = len(os.sched_getaffinity(0))
    with ExitStack() as stack:
        own = stack.enter_context(servers.own(model, pixels))
        ends = {"infer": own.infer_json, "predict": own.predict_json, "binary": own.infer_binary}
        for name in arguments.peers:
            ends[name] = stack.enter_context(servers.peer(name, model, pixels, workers))
        rounds = _rounds(ends, arguments.rounds, arguments.connections, arguments.seconds)
    failed = {name: sum(one[name].failed for one in rounds) for name in ends}
    lines: list[tuple[bool | None, str]] = []
    for name in ends:
        speed, p99 = (median(pick(one[name]) for one in rounds) for pick in (_speed, lambda it: it.p99))
        lines.append((None, f"{name:9} {speed:8.0f} requests/s, p99 {p99 * 1e3:6.1f} ms, {failed[name]} failed"))
    for name in arguments.peers:
        for way in ("infer", "predict"):
            ratios = sorted(one[way].per_second / one[name].per_second for one in rounds)
            words = f"{way}: {median(ratios):.2f} x {name} [{ratios[0]:.2f}, {ratios[-1]:.2f}], goal {GOALS[name]} x"
            lines.append((median(ratios) >= GOALS[name] and not failed[way], words))
    return tell(lines)


def _rounds(ends: dict[str, servers.Endpoint], count: int, connections: int, seconds: int) -> list[dict[str, Load]]:
    order, rounds = list(ends), []
    for endpoint in ends.values():
        load(endpoint, connections=connections, seconds=1)  # not counted: caches, thread pools, lazy imports
    for number in range(count):
        random.Random(number).shuffle(order)
        rounds.append({name: load(ends[name], connections=connections, seconds=seconds) for name in order})
    return rounds


def _speed(it: Load) -> float:
    return it.per_second


if __name__ == "__main__":
    sys.exit(main())
