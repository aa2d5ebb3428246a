"""How close each model comes to what its machine can do: floors from its file and the machine's measured peaks.

A floor needs the model's file, so it is found where the files are, and kept with the figures. Peaks are measured with
one number of threads; only cells with as many are compared, and of these the ones with one call at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from compress.bench.benchmark.results import Benchmark, Floor, Model
from compress.bench.roofline import floor as roofline
from compress.bench.roofline.cost import cost
from compress.errors import ModelError

ONE_AT_A_TIME = ("single-stream", "batch")


def with_floors(benchmark: Benchmark, files: Mapping[str, Path]) -> Benchmark:
    """The benchmark with the floors of its models, as far as peaks were measured and their files say what they
    compute. ``files``: by place in the plan's folder."""
    if not benchmark.peaks:
        return benchmark
    found = []
    models = {model.name: model for model in benchmark.models}
    for peaks in benchmark.peaks:
        cells = [c for c in benchmark.cells if c.threads == peaks["threads"] and c.scenario in ONE_AT_A_TIME]
        for cell in cells:
            for timing in cell.timings:
                path = files.get(models[timing.model].path)
                floor = path and _floor(models[timing.model], path, cell.batch, peaks, timing.p50.value, benchmark.plan)
                found += [replace(floor, cell=cell.id)] if floor else []
    return replace(benchmark, floors=found)


def _floor(model: Model, path: Path, batch: int, peaks: Mapping, p50: float, plan: Mapping) -> Floor | None:
    try:
        needed = cost(path, _shapes(model, batch, {**plan.get("axes", {}), **model.assumed}))
    except (ModelError, OSError):
        return None  # of this kind of file nothing is known, or it has gone: there is no floor, not a wrong one
    floor = roofline.floor(needed, peaks, p50)
    moved = round(floor.memory * floor.bandwidth)
    return Floor(
        model.name, "", needed.macs, moved, floor.seconds, floor.low, floor.high, floor.side, floor.source,
        floor.reached or 0.0, list(floor.notes),
    )  # fmt: skip


def _shapes(model: Model, batch: int, sizes: Mapping[str, int]) -> dict[str, list[int]]:
    """The shapes that the model was fed."""
    shapes = {}
    for tensor in model.inputs:
        axes = tensor["shape"]
        names = [axis if isinstance(axis, str) else f"{tensor['name']}.{place}" for place, axis in enumerate(axes)]
        first = names[0] if axes else None
        shapes[tensor["name"]] = [
            axis if isinstance(axis, int) else batch if place == 0 or name == first else sizes.get(name, 1)
            for place, (axis, name) in enumerate(zip(axes, names, strict=True))
        ]
    return shapes
