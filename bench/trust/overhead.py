"""What the harness adds: its median of a file next to a bare timed loop's, on one session, a tenth of a second each.

    python -m compress.bench.trust.overhead FILE TURNS

Runs that are seconds apart differ by more than the overhead: beside other programs this machine's speed jumps by half,
for a second or so; and so do two openings of one file, by where they come to lie in memory. So in every turn the model
is opened once and asked by both, in an order that is drawn. Ours is what a plan's cell does: its session, its inputs,
its call, warm-up and blocks of ``latency.interleave``, which are of 5 ms here and of 20 ms there. The bare loop has a
warm-up of the same length and as many timed calls of the engine in that session:

- ONNX Runtime's ``run`` with the same array, by Python's clock;
- OpenVINO's request alone, over the input it already has, by the request's own clock, as benchmark_app has it. Ours
  hands an array over and takes one back, as every caller must: this tells what that takes.

Prints one JSON object: medians in seconds, ``ours`` and ``bare``, one of each a turn.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from edge_runtime import open_session
from edge_runtime.probes import inputs, latency, scenarios
from edge_runtime.probes.plan import Cell
from edge_runtime.sessions.base import Session

ROUNDS = 4
BLOCK_SECONDS = 0.005
CELL = Cell("single-stream", 1, 1)


def main(path: Path, turns: int) -> None:
    draw = random.Random(0)
    found: dict[str, list[float]] = {"ours": [], "bare": []}
    warm, calls = 0.1, 100
    for _ in range(turns):
        opened: list[tuple[Session, np.ndarray]] = []
        query, _ = scenarios.prepare(CELL, partial(open_session, path), partial(_inputs, opened), cores=1)
        try:
            for name in draw.sample(sorted(found), 2):
                if name == "ours":
                    times, warm = _ours(query.call)
                    calls = times.size
                else:
                    times = _bare(*opened[0], warm, calls)
                found[name].append(float(np.median(times)))
        finally:
            query.close()
    print(json.dumps(found))


def _inputs(opened: list[tuple[Session, np.ndarray]], session: Session, batch: int) -> inputs.Inputs:
    """As a plan's cell makes them; ``opened`` learns who was opened, and what it is asked."""
    made = inputs.make(session.inputs, batch, axes={}, seed=0)
    opened.append((session, made.calls[0][session.inputs[0].name]))
    return made


def _ours(call: scenarios.Call) -> tuple[np.ndarray, float]:
    """Seconds of its calls (n,), and of its warm-up."""
    taken = latency.interleave({"model": call}, rounds=ROUNDS, seconds=10, block_seconds=BLOCK_SECONDS)
    return np.concatenate(taken.calls["model"]), taken.method["warm_up_seconds"]


def _bare(session: Session, array: np.ndarray, warm: float, calls: int) -> np.ndarray:
    """Seconds of the engine's calls (calls,)."""
    timed = _ENGINES[session.runtime](session, array)
    end = time.perf_counter() + warm
    while time.perf_counter() < end:
        timed()
    return np.array([timed() for _ in range(calls)])


def _onnxruntime(session: Session, array: np.ndarray) -> Callable[[], float]:
    run = session._model.run  # no other has the same place in memory
    feed = {session.inputs[0].name: array}

    def timed() -> float:
        started = time.perf_counter()
        run(None, feed)
        return time.perf_counter() - started

    return timed


def _openvino(session: Session, array: np.ndarray) -> Callable[[], float]:
    session.predict(array)
    request = session._request

    def timed() -> float:
        request.infer()
        return request.latency / 1e3

    return timed


_ENGINES = {"onnxruntime": _onnxruntime, "openvino": _openvino}


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
