"""Where a model's time goes: seconds of each layer, from its engine's own profiler.

A profiler takes time itself, and more of it the more and the shorter the layers are. So the same calls are also timed
on a second session without one, before and after, and ``method`` has both beside the layers' sum:

- ``unprofiled_p50``: what an inference takes. The layers' seconds are shares of another, slower one.
- ``profiled_p50``: the same calls with the profiler on.
- ``layers_sum``: all layers together. What ``unprofiled_p50`` has beyond that is the engine's and Python's work between
  layers; when it has less, the profiler's own cost is larger than that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from os import PathLike
from typing import Any

import numpy as np

from edge_runtime.errors import ProbeError
from edge_runtime.sessions.registry import open_session

CALLS = 50
LEAST_CALLS = 8
"""However long they take."""
WARM_UP = 5
"""Calls before: the first ones allocate memory and pack weights."""


def profile(
    path: str | PathLike[str],
    runtime: str | None,
    threads: int,
    inputs: Mapping[str, np.ndarray],
    *,
    calls: int = CALLS,
    seconds: float = 30.0,
) -> dict[str, Any]:
    """The event ``profile``: runtime, threads, inputs (shapes by name), layers in the order they run, method.

    A layer is {name, type, kernel, precision, conversion, seconds, share, calls, macs, made_of} (``LayerTime``); shares
    are of the layers' sum. ``calls`` profiled ones, but fewer (eight at least) when all would take over ``seconds``.
    Raises ProbeError for fewer than one call, SessionError for a runtime without a profiler and as a session does.
    """
    if calls < 1 or seconds <= 0:
        raise ProbeError(f"{path}: a profile needs at least one call and a positive time, not {calls} and {seconds} s")
    with (
        open_session(path, runtime, threads, profile=True) as profiled,
        open_session(path, runtime, threads) as plain,
    ):
        bare = _Timed(lambda: plain.run(inputs))
        bare.call(WARM_UP)
        each = float(np.median(bare.taken))
        calls = min(calls, max(LEAST_CALLS, int(seconds / (2 * each))))
        bare.taken.clear()
        bare.call(-(-calls // 2))
        watched = _Timed(lambda: profiled.run(inputs))
        layers = profiled.layers(watched, WARM_UP, calls)
        bare.call(-(-calls // 2))
        total = sum(layer.seconds for layer in layers)
        return {
            "runtime": profiled.runtime,
            "threads": threads,
            "inputs": {name: list(array.shape) for name, array in inputs.items()},
            "layers": [asdict(layer) | {"share": layer.seconds / total if total else 0.0} for layer in layers],
            "method": {
                "profiler": profiled.profiler,
                "version": profiled.version,
                "calls": calls,
                "warm_up": WARM_UP,
                "unprofiled_p50": float(np.median(bare.taken)),
                "profiled_p50": float(np.median(watched.taken)),
                "layers_sum": total,
                "protocol": "unprofiled calls on a session of their own, half before and half after the profiled ones",
                "clock": "time.perf_counter_ns",
            },
        }


class _Timed:
    """A call, and the seconds that each has taken."""

    def __init__(self, run: Callable[[], object]) -> None:
        self._run = run
        self.taken: list[float] = []

    def __call__(self) -> None:
        start = time.perf_counter_ns()
        self._run()
        self.taken.append((time.perf_counter_ns() - start) * 1e-9)

    def call(self, times: int) -> None:
        for _ in range(times):
            self()
