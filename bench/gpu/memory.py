"""What a way takes of memory, in a fresh process that does nothing but load the network and run it.

The process tells after every step what the kernel counts as resident (VmRSS; VmHWM is its peak), and of the GPU what
PyTorch's allocator had at most and what NVML says is in use beyond what was in use before the process began: the CUDA
context and every library's kernels included, and other programs' changes meanwhile too.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .refused import Refused

CALLS = 10
"""Calls before the peak is read."""
LIMIT = 600.0
"""Seconds that the process may take."""


def weigh(command: tuple[str, ...], job: Any, network: str) -> list[dict[str, Any]]:
    """The *memory* events of a way, one a batch, without its name. Raises Refused."""
    given = ["--memory-of", job.way.name, "--network", network, "--device", str(job.hardware.device)]
    given += ["--batches", *map(str, job.batches), "--seed", str(job.seed), "--folder", str(job.folder)]
    used = job.hardware.memory()["used"]
    try:
        done = subprocess.run(
            [*command, *given],
            capture_output=True,
            text=True,
            timeout=LIMIT,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Refused("failed", f"the process weighing it took longer than {LIMIT:g} s") from error
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
        raise Refused("failed", f"the process weighing it failed: {reason[:500]}")
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    for event in events:
        now = event.pop("used")
        event["gpu"] = None if used is None or now is None else max(0, now - used)
    return events


def tell(make_job: Any) -> None:
    """Print those events. ``make_job`` imports PyTorch, makes the device ready and returns the job: nothing of that may
    have happened before."""
    import numpy  # noqa: F401  # a part of what every runtime's interpreter has

    interpreter = _resident("VmRSS")
    job = make_job()
    for event in _steps(interpreter, job):
        print(json.dumps(event), flush=True)


def _steps(interpreter: int, job: Any) -> Iterator[dict[str, Any]]:
    import torch

    from .ways import open_way

    hardware = job.hardware
    with hardware.stream(), torch.inference_mode():
        hardware.tf32(job.way.precision == "tf32")
        torch.empty(1, device=hardware.device)  # makes the CUDA context
        engine = _resident("VmRSS")
        opened = open_way(job)
        hardware.synchronize()
        loaded = _resident("VmRSS")
        # From the smallest batch up: the kernel's peak cannot be set back everywhere.
        for batch in sorted(job.batches):
            hardware.reset_peaks()
            call = opened.at(job.example(batch))
            call()
            hardware.synchronize()
            first = _resident("VmRSS")
            for _ in range(CALLS):
                call()
            hardware.synchronize()
            steps = {"interpreter": interpreter, "engine": engine, "loaded": loaded, "first": first}
            yield {"batch": batch} | steps | {"peak": _resident("VmHWM")} | hardware.memory()


def _resident(field: str) -> int:
    """VmRSS or VmHWM in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))
