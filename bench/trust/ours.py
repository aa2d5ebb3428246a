"""This project's measurement, as `compress bench FILE...` makes it: a plan, run by a fresh process here; its events."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compress.bench.benchmark.analyse import analyse
from compress.bench.benchmark.results import Cell
from compress.bench.devices.local import Local
from compress.bench.peers.base import PeerError
from edge_runtime.probes.plan import Plan, PlanModel

NAME = "compress bench"
ON_OPENVINO = "compress bench on OpenVINO"
"""The same on the file that benchmark_app reads; without a name it is ONNX Runtime."""


def measure(files: Mapping[str, Path], *, seed: int, **settings: Any) -> Cell:
    """Time ``files`` by name in turns, single-stream on one thread. ``settings``: of the plan, whose defaults are what
    users get. Cold start and memory are left out: they are other questions.

    Raises PeerError when a file was refused, DeviceError when the process failed.
    """
    models = tuple(PlanModel(name, file.name) for name, file in files.items())
    plan = Plan(models, cold=0, memory=False, seed=seed, **settings)
    beside = [file.with_suffix(".bin") for file in files.values() if file.suffix == ".xml"]
    needed = {part.name: part for part in (*files.values(), *beside)}
    told: list[dict] = []
    with tempfile.TemporaryDirectory() as folder:
        Local().run(plan, needed, told.append, folder=Path(folder))
    found = analyse(told, target="this-machine")
    if not found.complete or found.missing or found.refused:
        raise PeerError(f"the plan was not carried out: {found.why}; {found.missing}; {found.refused}")
    return found.cells[0]
