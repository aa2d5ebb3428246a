"""How much memory a model takes: the resident set of a fresh process that does nothing but load and run it.

A process that has loaded other models cannot tell what one of them costs: allocators keep what they once had. So `peak`
starts a new interpreter on this very module, which notes its resident set before the engine is imported, after the
model is loaded, and its highest one from the start of loading to the end of some inferences. That is what the kernel
counts (VmRSS, VmHWM in /proc/self/status), and what it kills for; getrusage would not do: it keeps its parent's peak.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from edge_runtime.errors import EdgeRuntimeError, ProbeError
from edge_runtime.sessions.registry import open_session

CALLS = 10
"""Inferences before the peak is read; allocators have settled by then."""

RESET_PEAK = "5"
"""Written to /proc/self/clear_refs, this sets VmHWM back to VmRSS. https://docs.kernel.org/filesystems/proc.html"""


@dataclass(frozen=True)
class PeakMemory:
    """Bytes of resident memory: Python with numpy alone; with engine and model loaded; and the highest from then on,
    loading included. What a model costs is a difference to ``interpreter``; what a device must have is ``peak``."""

    interpreter: int
    loaded: int
    peak: int


def peak(
    path: str | PathLike[str],
    runtime: str | None,
    threads: int,
    input_shape: Sequence[int],
    dtype: str,
    *,
    seconds: float = 300,
    folders: Sequence[str | PathLike[str]] = (),
) -> PeakMemory:
    """Load and run a model in a fresh process; every input gets an array of this shape and dtype.

    ``folders``: where a runtime may import a user's own code from, last of all.
    Raises ProbeError with the process's own words when it fails, is killed, or takes longer than ``seconds``.
    """
    command = [sys.executable, "-m", "edge_runtime.probes.memory", str(Path(path).absolute())]
    command += ["--threads", str(threads), "--shape", ",".join(map(str, input_shape)), "--dtype", dtype]
    command += ["--runtime", runtime] if runtime else []
    command += [part for folder in folders for part in ("--folder", str(Path(folder).absolute()))]
    # Without the working folder at the front of the module path, where a user's json.py would hide Python's own.
    safe = os.environ | {"PYTHONSAFEPATH": "1"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL, check=False, env=safe
        )
    except subprocess.TimeoutExpired as error:
        raise ProbeError(f"{path}: measuring its memory took longer than {seconds:g} s") from error
    if done.returncode < 0:
        raise ProbeError(
            f"{path}: the process measuring its memory was ended by signal {-done.returncode}"
            f"{', most likely for want of memory' if done.returncode == -9 else ''}"
        )
    if done.returncode:
        raise ProbeError(f"{path}: measuring its memory failed: {done.stderr.strip()[-2000:]}")
    return PeakMemory(**json.loads(done.stdout.splitlines()[-1]))


def measure(path: str, runtime: str | None, threads: int, input_shape: Sequence[int], dtype: str) -> PeakMemory:
    """The same in this process, which had better be a fresh one."""
    interpreter = resident("VmRSS")
    reset_peak()
    with open_session(path, runtime, threads) as session:
        loaded = resident("VmRSS")
        array = np.ones(input_shape, dtype)
        inputs = {spec.name: array for spec in session.inputs}
        for _ in range(CALLS):
            session.run(inputs)
        return PeakMemory(interpreter, loaded, resident("VmHWM"))


def reset_peak() -> None:
    """Let VmHWM begin anew. Where the kernel does not allow it, a fresh process has hardly had a higher peak."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text(RESET_PEAK)


def resident(field: str) -> int:
    """VmRSS or VmHWM of this process, in bytes. Raises ProbeError where there is no such file."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError as error:
        raise ProbeError(f"memory is read from Linux's /proc/self/status, which is not there: {error}") from error
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def _main() -> int:
    parser = argparse.ArgumentParser(prog="python -m edge_runtime.probes.memory", description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--runtime", help="onnxruntime, openvino, ...; without it guessed from the suffix")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--shape", required=True, help="of every input, such as 1,3,224,224")
    parser.add_argument("--dtype", default="float32", help="of every input")
    parser.add_argument("--folder", action="append", default=[], help="to import from; may be repeated")
    given = parser.parse_args()
    sys.path.extend(given.folder)
    try:
        shape = [int(size) for size in given.shape.split(",")]
        print(json.dumps(asdict(measure(given.model, given.runtime, given.threads, shape, given.dtype))))
    except (EdgeRuntimeError, ValueError, TypeError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
