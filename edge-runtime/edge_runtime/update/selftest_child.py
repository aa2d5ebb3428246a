"""The process of a self-test: ``python -m edge_runtime.update.selftest_child FOLDER``, started by ``selftest``.

It prints one JSON object, or says on standard error what is wrong and ends with status 1. Nothing imports this module.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from edge_runtime.bundle import contents
from edge_runtime.bundle.contents import Contents
from edge_runtime.errors import ContentError, EdgeRuntimeError, SelfTestError
from edge_runtime.model import Model
from edge_runtime.update.selftest import ADVICE

ROUNDS = 3
"""p99 is the best of this many rounds': when another process had the processor, that is not the model's fault."""
CALLS, LEAST_CALLS = 200, 10
ROUND_SECONDS = 10.0
"""A round ends after so many calls, or after this time once it has had the least number."""
OUT_OF_MEMORY_FIRST = "1000"
"""The highest score for the kernel's out-of-memory killer: better this process than the one that serves."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m edge_runtime.update.selftest_child")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--timed", action="store_true")
    given = parser.parse_args()
    answer = _alone()
    try:
        facts = test(contents.load(given.folder), timed=given.timed)
    except EdgeRuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    except Exception as error:  # of an engine, or of an array that is none of a model's
        print(f"{type(error).__name__}: {error}; {ADVICE}", file=sys.stderr)
        return 1
    os.write(answer, json.dumps(facts).encode())
    return 0


def test(version: Contents, *, timed: bool) -> dict[str, object]:
    """The fields of ``selftest.SelfTest``; ``absolute`` is None where an output is not a finite number."""
    manifest = version.manifest
    if len(manifest.inputs) != 1:
        raise SelfTestError(f"the model has {len(manifest.inputs)} inputs, and golden inputs are one array")
    spec, output = manifest.inputs[0], manifest.outputs[0].name
    inputs, expected = (version.array(manifest.golden[name]) for name in ("inputs", "outputs"))
    if not inputs.ndim or not expected.ndim or not len(inputs) or len(inputs) != len(expected):
        raise ContentError(
            f"golden inputs {inputs.shape} and outputs {expected.shape} are not an answer for every input; "
            "make the bundle again"
        )
    with Model(version) as model:
        batches = _batches(inputs, (spec.shape[0] if spec.shape else None) or 1)
        found = np.concatenate([model.infer({spec.name: batch})[output] for batch in batches])[: len(expected)]
        if found.shape != expected.shape:
            raise SelfTestError(f"outputs have shape {found.shape}, and the golden ones {expected.shape}")
        same = found.reshape(len(found), -1).argmax(1) == expected.reshape(len(found), -1).argmax(1)
        difference = np.abs(found.astype(np.float64) - expected.astype(np.float64)).max(initial=0.0)
        p99 = _p99(lambda batch: model.infer({spec.name: batch}), batches) if timed else None
        return {
            "argmax": float(same.mean()),
            "absolute": float(difference) if np.isfinite(found).all() and np.isfinite(difference) else None,
            "p99": p99,
            "memory": _peak(),
            "version": model.session.version,
        }


def _batches(inputs: np.ndarray, size: int) -> list[np.ndarray]:
    """Samples as the model takes them, one at a time if it can; the last batch is filled up with its last sample."""
    filled = np.concatenate([inputs, inputs[-1:].repeat(-len(inputs) % size, axis=0)])
    return [filled[start : start + size] for start in range(0, len(filled), size)]


def _p99(call: Callable[[np.ndarray], object], batches: list[np.ndarray]) -> float:
    """Seconds; the calls before have warmed the model up."""
    rounds = []
    for _ in range(ROUNDS):
        times: list[float] = []
        end = time.perf_counter() + ROUND_SECONDS
        while len(times) < LEAST_CALLS or (len(times) < CALLS and time.perf_counter() < end):
            before = time.perf_counter()
            call(batches[len(times) % len(batches)])
            times.append(time.perf_counter() - before)
        rounds.append(float(np.percentile(times, 99, method="higher")))
    return min(rounds)


def _peak() -> int:
    """VmHWM in bytes: what the kernel counts, and kills for."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def _alone() -> int:
    """Where to write the answer. What the engine prints goes to standard error; the process ends with its parent."""
    answer = os.dup(1)
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OUT_OF_MEMORY_FIRST)

    def wait() -> None:
        os.read(0, 1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
    return answer


if __name__ == "__main__":
    sys.exit(main())
