"""The highest rates this machine reaches: what no model on it can beat, measured.

- ``float32``: multiply-accumulates a second, the best of numpy's BLAS (square matrix products) and of each installed
  runtime (a large 1 x 1 convolution); ``float32_by`` has them all.
- ``int8``: by runtime, of a large 3 x 3 convolution between Q/DQ; None where a runtime is missing or cannot, and
  ``reasons`` says why.
- ``read``, ``copy``, ``triad``: bytes a second from and to memory, of arrays several times the last-level cache. As in
  STREAM, a copy moves two bytes for each byte copied, a triad (a = b + s c) three. https://www.cs.virginia.edu/stream
  ``read`` is BLAS's dot product of an array with itself: what streaming weights looks like. numpy needs two steps for
  a triad, so that it is lower than a compiled one.
- ``resident``: for each cache from the second level on, its bytes and the rate at which half of them are read over and
  over: what a model that stays in that cache sees.

All are the best of many repetitions, since whatever disturbs a repetition makes it slower; the loads take turns, so
that a disturbance of seconds does not meet all repetitions of one. Another program on the same cores, or heat, still
makes a peak lower than the machine's.

Threads of BLAS are set by environment variables that it reads once, so all this runs in a fresh process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import EdgeRuntimeError, ProbeError
from edge_runtime.probes import peak_loads
from edge_runtime.probes.caches import Cache, caches
from edge_runtime.probes.peak_loads import Load
from edge_runtime.sessions.registry import runtimes

BLAS_THREADS = (
    *("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"),
    "VECLIB_MAXIMUM_THREADS",
)
SIDES = (512, 1024, 1536)
"""Of the square matrices: larger ones share better between threads, and take longer on a small board."""
ROUNDS = 4
"""How often the loads take turns."""
TIMES_CACHE = 4
"""An array for memory is so many times the last-level cache (STREAM's rule) ..."""
LEAST_BYTES = 64 * 1024**2
"""... and at least this, ..."""
MEMORY_SHARE = 1 / 16
"""... but no more than this share of the memory that is free."""
LIMIT = 900.0
"""Seconds for the whole process, engines' loading included; an emulated machine takes minutes."""


def measure(threads: int, *, seconds: float = 3.0) -> dict[str, Any]:
    """The event ``peaks``, with ``threads`` threads. ``seconds`` are shared by all loads; making them comes on top.

    Raises ProbeError with the process's own words when it fails or takes too long.
    """
    if threads < 1 or seconds <= 0:
        raise ProbeError(f"peaks need at least one thread and a positive time, not {threads} and {seconds} s")
    command = [sys.executable, "-m", "edge_runtime.probes.peak", str(threads), str(seconds)]
    # Without the working folder at the front of the module path, where a user's json.py would hide Python's own.
    environment = os.environ | dict.fromkeys(BLAS_THREADS, str(threads)) | {"PYTHONSAFEPATH": "1"}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            stdin=subprocess.DEVNULL,
            check=False,
            env=environment,
        )
    except subprocess.TimeoutExpired as error:
        raise ProbeError(f"measuring this machine's peak rates took longer than {LIMIT:g} s") from error
    if done.returncode:
        words = done.stderr.strip()[-2000:] or f"ended by signal {-done.returncode}"
        raise ProbeError(f"measuring this machine's peak rates failed: {words}")
    return json.loads(done.stdout.splitlines()[-1])


def measure_here(threads: int, seconds: float) -> dict[str, Any]:
    """The same in this process, whose BLAS must have been told its threads."""
    levels = [cache for cache in caches() if cache.level > 1]
    bytes_, free = _array_bytes(levels)
    with ExitStack() as stack:
        products = {("numpy", side): peak_loads.blas(side) for side in SIDES}
        reasons = {}
        for name, kind in runtimes().items():
            try:
                made = {
                    (name, precision): peak_loads.runtime(name, kind, precision, threads, stack)
                    for precision in ("float32", "int8")
                }
                products |= made
            except EdgeRuntimeError as error:
                reasons[name] = str(error)
        moves = peak_loads.memory(bytes_, threads, stack)
        resident = [(cache, peak_loads.resident(cache, threads)) for cache in levels]
        _take_turns([*products.values(), *moves.values(), *(load for _, load in resident)], seconds)
    int8 = {name: products[name, "int8"].rate if (name, "int8") in products else None for name in runtimes()}
    float32: dict[str, float] = {}
    for (name, what), load in products.items():
        if what != "int8":
            float32[name] = max(load.rate, float32.get(name, 0.0))
    return {
        "threads": threads,
        "float32": max(float32.values()),
        "float32_by": float32,
        "int8": int8,
        "reasons": reasons,
        **{name: load.rate for name, load in moves.items()},
        "resident": [
            {"level": cache.level, "bytes": cache.within_reach(threads), "read": load.rate} for cache, load in resident
        ],
        "method": {
            "statistic": "best repetition",
            "rounds": ROUNDS,
            "seconds": seconds,
            "sides": list(SIDES),
            "array_bytes": bytes_,
            "last_level_cache": levels[-1].size if levels else None,
            "free_memory": free,
            "numpy": np.__version__,
            "blas": _blas_name(),
        },
    }


def _take_turns(loads: list[Load], seconds: float) -> None:
    """Repeat each load for its share of the time, in every round; four calls at least."""
    clock, part = time.perf_counter, seconds / len(loads) / ROUNDS
    for _ in range(ROUNDS):
        for load in loads:
            call = load.prepare()
            call()  # caches, and pages of a fresh array
            end = clock() + part
            while True:
                start = clock()
                call()
                now = clock()
                load.best = min(load.best, now - start)
                if now >= end:
                    break


def _array_bytes(levels: list[Cache]) -> tuple[int, int | None]:
    """Bytes of each of the three arrays, and of free memory."""
    wanted = max(LEAST_BYTES, TIMES_CACHE * levels[-1].size * levels[-1].count if levels else 0)
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return wanted, None
    return min(wanted, int(free * MEMORY_SHARE)), free


def _blas_name() -> str:
    found = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{found.get('name', 'unknown')} {found.get('version', '')}".strip()


def _main() -> int:
    parser = argparse.ArgumentParser(prog="python -m edge_runtime.probes.peak", description=__doc__.splitlines()[0])
    parser.add_argument("threads", type=int)
    parser.add_argument("seconds", type=float)
    given = parser.parse_args()
    try:
        print(json.dumps(measure_here(given.threads, given.seconds)))
    except (EdgeRuntimeError, MemoryError) as error:
        print(str(error) or "there is not enough memory", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
