"""ONNX Runtime's ``onnxruntime_perf_test -m duration -t SECONDS -x 1``, as a loop in Python.

That program comes with no package; one builds it. What it does, in its `performance_runner.cc`: one run to warm up,
then runs on end until the time is up, each timed; it prints their mean and percentiles. This does the same with
Python's API and the same settings:

    python ort_loop.py FILE SECONDS
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from compress.bench.peers.base import Peer, last_figure, output

SECONDS = 10.0


def measure(path: Path, seconds: float = SECONDS) -> float:
    """Seconds of its P50."""
    return last_figure(output([sys.executable, __file__, path, str(seconds)]), "p50")


PEER = Peer(
    name="onnxruntime perf_test loop",
    reads=".onnx",
    tells="median",
    run=f"-m duration -t {SECONDS:g} -x 1, as a loop in Python: the program itself comes with no package",
    untold="no interval; warms up with one run; one opening of the model; nothing of the machine's state",
    measure=measure,
)


def main(path: str, seconds: float) -> None:
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    draw = np.random.default_rng(0)
    inputs = {one.name: draw.standard_normal(one.shape).astype(np.float32) for one in session.get_inputs()}
    session.run(None, inputs)
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        session.run(None, inputs)
        times.append(time.perf_counter() - started)
    print(json.dumps({"runs": len(times), "mean": float(np.mean(times)), "p50": float(np.median(times))}))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
