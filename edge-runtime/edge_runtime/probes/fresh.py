"""A model in a process of its own, from the start of the interpreter to some inferences: times, and memory.

Only a fresh process tells what a start costs, and what a model takes. And a file on which an engine crashes takes
nothing else down with it: ``run`` tells by which signal. The child is this module; it reads a job as JSON from standard
input and answers with one line. It ends when its parent does.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_runtime import errors
from edge_runtime.errors import EdgeRuntimeError, InputError, ProbeError, SessionError

SECONDS = 600.0
"""After which a child is given up."""
CALLS = 10
"""Inferences before the peak is read; allocators have settled by then."""
TOLD = 2000
"""Characters of a child's last words that become part of a message."""


@dataclass(frozen=True)
class Job:
    """What a child does. ``batch``: None is the smallest that the model takes. ``shape``, ``dtype``: of every input,
    for whoever knows them; ``batch``, ``axes`` and ``inputs`` do not count then."""

    path: str
    runtime: str | None
    threads: int
    batch: int | None = None
    axes: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0
    inputs: str | None = None
    folders: tuple[str, ...] = ()
    shape: tuple[int, ...] | None = None
    dtype: str = "float32"


@dataclass(frozen=True)
class Fresh:
    """``times``: seconds of ``interpreter``, ``engine``, ``load``, ``first`` and ``second``; ``memory``: bytes resident
    at ``interpreter``, ``engine``, ``loaded``, ``first``, ``peak``, and of the GPU (``gpu``, None without one)."""

    runtime: str
    version: str
    batch: int
    source: str
    assumed: dict[str, int]
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    times: dict[str, float]
    memory: dict[str, int | None]


def run(job: Job, *, seconds: float = SECONDS) -> Fresh:
    """Do a job in a fresh process. Raises what the child raised; ProbeError when it crashed or took too long."""
    environment = os.environ | {"PYTHONSAFEPATH": "1"}
    begun = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "edge_runtime.probes.fresh", repr(begun)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,  # Ctrl-C is for the parent, which ends the child
    ) as child:
        try:
            said, words = _talk(child, json.dumps(vars(job) | {"axes": dict(job.axes)}).encode() + b"\n", seconds)
        except subprocess.TimeoutExpired:
            raise ProbeError(f"{Path(job.path).name}: loading and running it took longer than {seconds:g} s") from None
        finally:
            child.kill()
    name = Path(job.path).name
    if child.returncode and child.returncode < 0:
        crash = signal.Signals(-child.returncode).name
        hint = ", most likely for want of memory" if crash == "SIGKILL" else ""
        raise ProbeError(f"{name}: the process that runs it was ended by {crash}{hint}")
    try:
        answer = json.loads(said.splitlines()[-1])
    except (ValueError, IndexError):
        last = words.decode(errors="replace").strip()[-TOLD:]
        raise ProbeError(f"{name}: the process that runs it failed: {last or 'without a word'}") from None
    if "error" in answer:
        kind = getattr(errors, answer["kind"], None)
        known = isinstance(kind, type) and issubclass(kind, EdgeRuntimeError)
        raise (kind if known else ProbeError)(answer["error"])
    return Fresh(**answer)


def _talk(child: subprocess.Popen, job: bytes, seconds: float) -> tuple[bytes, bytes]:
    """Hand over the job, and leave the pipe open: the child takes its end for ours."""
    with contextlib.suppress(BrokenPipeError):
        child.stdin.write(job)
        child.stdin.flush()
    heard: dict[str, bytes] = {}
    readers = [
        threading.Thread(target=lambda name=name, pipe=pipe: heard.update({name: pipe.read()}), daemon=True)
        for name, pipe in (("out", child.stdout), ("err", child.stderr))
    ]
    for reader in readers:
        reader.start()
    child.wait(seconds)
    for reader in readers:
        reader.join(1.0)  # a grandchild may hold the pipe
    return heard.get("out", b""), heard.get("err", b"")


def _main() -> None:
    import numpy as np

    ready = time.monotonic()
    answer = os.dup(1)
    os.dup2(2, 1)  # what an engine prints
    job = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(1)), daemon=True).start()
    sys.path.extend(job["folders"])
    try:
        found = _do(Job(**job), ready - float(sys.argv[1]), np)
    except Exception as error:  # whatever an engine raises is the parent's to tell
        # A runtime's own distribution has errors of its own, which are no bugs: they say it in words.
        known = isinstance(error, EdgeRuntimeError) or hasattr(error, "exit_code")
        found = {"kind": type(error).__name__, "error": str(error) if known else f"{type(error).__name__}: {error}"}
    os.write(answer, json.dumps(found).encode() + b"\n")
    os._exit(0)  # without an engine's clean-up, which may crash once all is said


def _do(job: Job, interpreter: float, np: Any) -> dict[str, Any]:
    from edge_runtime.probes import gpu_memory, inputs
    from edge_runtime.probes.memory import reset_peak, resident
    from edge_runtime.sessions.registry import import_engine, open_session, session_class

    reset_peak()
    times, memory = {"interpreter": interpreter}, {"interpreter": resident("VmRSS")}
    before = gpu_memory.used()

    def timed(name: str, work: Any) -> Any:
        start = time.perf_counter()
        result = work()
        times[name] = time.perf_counter() - start
        return result

    def engine() -> None:
        kind = session_class(job.path, job.runtime)
        if kind.engine:
            import_engine(kind.engine)

    timed("engine", engine)
    memory["engine"] = resident("VmRSS")
    session = timed("load", lambda: open_session(job.path, job.runtime, job.threads))
    memory["loaded"] = resident("VmRSS")
    batch = job.batch or inputs.fixed_batch(session.inputs) or 1
    file = Path(job.inputs) if job.inputs else None
    if job.shape is None:
        made = inputs.make(session.inputs, batch, axes=job.axes, seed=job.seed, file=file)
    else:
        made = inputs.alike(session.inputs, job.shape, job.dtype, seed=job.seed)
    try:
        timed("first", lambda: session.run(made.calls[0]))
    except (SessionError, MemoryError) as error:
        if not made.assumed:
            raise
        sizes = ", ".join(f"{axis} = {size}" for axis, size in made.assumed.items())
        raise InputError(
            f"{error}; sizes were assumed that the model leaves open ({sizes}): give them, or real inputs"
        ) from error
    memory["first"] = resident("VmRSS")
    timed("second", lambda: session.run(made.calls[-1 if len(made.calls) < 2 else 1]))
    for index in range(CALLS - 2):
        session.run(made.calls[index % len(made.calls)])
    memory["peak"] = resident("VmHWM")
    after = gpu_memory.used()
    memory["gpu"] = None if before is None or after is None else max(0, after - before)
    return {
        "runtime": session.runtime,
        "version": session.version,
        "batch": batch,
        "source": made.source,
        "assumed": made.assumed,
        "inputs": _specs(session.inputs),
        "outputs": _specs(session.outputs),
        "times": times,
        "memory": memory,
    }


def _specs(specs: Sequence[Any]) -> list[dict[str, Any]]:
    return [{"name": spec.name, "dtype": spec.dtype, "shape": list(spec.shape)} for spec in specs]


if __name__ == "__main__":
    _main()
