"""A benchmark as CSV: a row for every figure's own load, in SI units and full precision, absent values empty.

``kind`` says what a row is of: ``timing`` of a model in a cell, ``cold``, ``memory``, ``energy`` (one a sensor),
``sustained``, ``roofline``. These are measured apart from each other, each with threads and a batch of its own, so none
stands in a row of another: what is in a row belongs to its ``scenario``, ``threads`` and ``batch``. Only what is about
the file (runtime, size, flash) stands in all rows of a model.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from compress.bench.benchmark.grid import listed
from compress.bench.benchmark.results import Benchmark, Cell, Energy, Timing
from compress.bench.csv_rows import csv_text
from compress.bench.figures import Interval

FIGURES = ("p50", "p90", "p99", "p999", "throughput", "ratio_to_first")
COLD = ("total", "interpreter", "engine", "load", "first", "second")
MEMORY = ("interpreter", "engine", "loaded", "first", "peak", "gpu")
JOULES = ("gross", "net", "power", "idle", "latency")
SUSTAINED = ("start", "end", "throttled_at", "complete")
FLOOR = ("seconds", "low", "high", "reached", "side", "macs", "moved")

Row = dict[str, Any]


def as_csv(benchmarks: Iterable[Benchmark]) -> str:
    """Columns named by path (``p50.low``, ``memory.peak``)."""
    return csv_text([row for benchmark in benchmarks for row in _rows(benchmark)])


def _rows(benchmark: Benchmark) -> list[Row]:
    cells = {cell.id: cell for cell in benchmark.cells}
    rows = [
        _load(benchmark, "timing", t.model, cell.threads, cell.batch, cell) | _timing(benchmark, cell, t)
        for cell in benchmark.cells
        for t in cell.timings
    ]
    rows += [
        _load(benchmark, "cold", c.model, c.threads, None)
        | {"n": c.n}
        | _each("cold", {part: getattr(c, part) for part in COLD})
        for c in benchmark.cold
    ]
    rows += [
        _load(benchmark, "memory", m.model, m.threads, m.batch)
        | {f"memory.{part}": getattr(m, part) for part in MEMORY}
        for m in benchmark.memory
    ]
    rows += [_load(benchmark, "energy", e.model, e.threads, e.batch) | _energy(e) for e in benchmark.energy]
    rows += [
        _load(benchmark, "sustained", s.model, s.threads, s.batch)
        | {f"sustained.{part}": getattr(s, part) for part in SUSTAINED}
        for s in benchmark.sustained
    ]
    for floor in benchmark.floors:
        cell = cells[floor.cell]
        load = _load(benchmark, "roofline", floor.model, cell.threads, cell.batch, cell)
        rows.append(load | {f"floor.{part}": getattr(floor, part) for part in FLOOR})
    return rows


def _load(benchmark: Benchmark, kind: str, name: str, threads: int, batch: int | None, cell: Cell | None = None) -> Row:
    """What every row begins with."""
    model = next(model for model in benchmark.models if model.name == name)
    return {
        "kind": kind, "target": benchmark.target, "emulated": benchmark.emulated, "model": name,
        "runtime": model.runtime, "version": model.version, "size": model.size, "flash": model.flash,
        "scenario": cell.scenario if cell else None, "threads": threads, "batch": batch,
        "doubts": listed([*benchmark.doubts, *(cell.doubts if cell else [])]),
    }  # fmt: skip


def _timing(benchmark: Benchmark, cell: Cell, timing: Timing) -> Row:
    row: Row = {
        "doubts": listed([*benchmark.doubts, *cell.doubts, *timing.doubts]),
        "samples": timing.samples, "said": timing.said, "fastest": cell.fastest == [timing.model], "n": timing.n,
        "rounds": timing.rounds, "ended_by": cell.ended_by, "mean": timing.mean, "slowest": timing.slowest,
        "outliers": timing.outliers, "p50_calls": timing.p50_calls,
    }  # fmt: skip
    for name in FIGURES:
        row |= _interval(name, getattr(timing, name))
    return row | {"metric.name": timing.metric.name} | _interval("metric", timing.metric.value)


def _energy(energy: Energy) -> Row:
    told = {"energy.sensor": energy.sensor, "energy.measured": energy.measured, "energy.none": energy.none}
    return told | _each("energy", {part: getattr(energy, part) for part in JOULES})


def _each(name: str, intervals: dict[str, Interval | None]) -> Row:
    row: Row = {}
    for part, interval in intervals.items():
        row |= _interval(f"{name}.{part}", interval)
    return row


def _interval(name: str, interval: Interval | None) -> Row:
    ends = ("value", "low", "high")
    return {name if end == "value" else f"{name}.{end}": interval and getattr(interval, end) for end in ends}
