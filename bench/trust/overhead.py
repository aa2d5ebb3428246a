"""What the harness adds: its median of a file next to a bare timed loop's, in one process, a tenth of a second each.

    python -m compress.bench.trust.overhead FILE TURNS

Runs that are seconds apart differ by more than the overhead: beside other programs this machine's speed jumps by half,
for a second or so. So here both take short turns, in an order drawn every time, and each opens the model anew, so that
where it comes to lie in memory is chance for both. Ours is what a plan's cell does: its session, its inputs, its call,
warm-up and blocks of ``latency.interleave``, which are of 5 ms here and of 20 ms there. The bare loop is ONNX Runtime's
own ``run`` with the same settings and arrays, a warm-up of the same length, and as many timed calls.

Prints one JSON object: medians in seconds, ``ours`` and ``bare``, one of each a turn.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime

from edge_runtime import open_session
from edge_runtime.probes import inputs, latency, scenarios
from edge_runtime.probes.plan import Cell

ROUNDS = 4
BLOCK_SECONDS = 0.005
CELL = Cell("single-stream", 1, 1)


def main(path: Path, turns: int) -> None:
    draw = random.Random(0)
    found: dict[str, list[float]] = {"ours": [], "bare": []}
    warm, calls = 0.1, 100
    for _ in range(turns):
        for name in draw.sample(sorted(found), 2):
            if name == "ours":
                median, warm, calls = _ours(path)
            else:
                median = _bare(path, warm, calls)
            found[name].append(median)
    print(json.dumps(found))


def _ours(path: Path) -> tuple[float, float, int]:
    """Its median, the seconds of its warm-up, and how many calls it timed."""
    query, _ = scenarios.prepare(
        CELL,
        lambda: open_session(path),
        lambda session, batch: inputs.make(session.inputs, batch, axes={}, seed=0),
        cores=1,
    )
    try:
        taken = latency.interleave({"model": query.call}, rounds=ROUNDS, seconds=10, block_seconds=BLOCK_SECONDS)
    finally:
        query.close()
    times = np.concatenate(taken.calls["model"])
    return float(np.median(times)), taken.method["warm_up_seconds"], times.size


def _bare(path: Path, warm: float, calls: int) -> float:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    engine = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    entry = engine.get_inputs()[0]
    feed = {entry.name: np.random.default_rng(0).standard_normal(entry.shape).astype(np.float32)}
    end = time.perf_counter() + warm
    while time.perf_counter() < end:
        engine.run(None, feed)
    times = []
    for _ in range(calls):
        started = time.perf_counter()
        engine.run(None, feed)
        times.append(time.perf_counter() - started)
    return float(np.median(times))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
