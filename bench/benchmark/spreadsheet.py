"""A benchmark as CSV: one row for every model in every cell, in SI units and full precision, absent values empty."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from compress.bench.benchmark.results import Benchmark, Cell, Timing
from compress.bench.csv_rows import csv_text
from compress.bench.results import Interval

FIGURES = ("p50", "p90", "p99", "p999", "throughput", "ratio_to_first")
COLD = ("total", "interpreter", "engine", "load", "first", "second")
MEMORY = ("interpreter", "engine", "loaded", "first", "peak", "gpu")


def as_csv(benchmarks: Iterable[Benchmark]) -> str:
    """Columns named by path (``p50.low``); what is about a model stands in each of its rows."""
    return csv_text([_row(b, cell, timing) for b in benchmarks for cell in b.cells for timing in cell.timings])


def _row(benchmark: Benchmark, cell: Cell, timing: Timing) -> dict[str, Any]:
    model = next(model for model in benchmark.models if model.name == timing.model)
    doubts = [*benchmark.doubts, *cell.doubts, *timing.doubts]
    row: dict[str, Any] = {
        "target": benchmark.target, "emulated": benchmark.emulated, "model": timing.model, "runtime": model.runtime,
        "version": model.version, "scenario": cell.scenario, "threads": cell.threads, "batch": cell.batch,
        "samples": timing.samples, "said": timing.said, "fastest": cell.fastest == [timing.model],
        "doubts": ", ".join(dict.fromkeys(doubt.word for doubt in doubts)), "n": timing.n, "rounds": timing.rounds,
        "ended_by": cell.ended_by, "mean": timing.mean, "slowest": timing.slowest, "outliers": timing.outliers,
    }  # fmt: skip
    for name in FIGURES:
        row |= _interval(name, getattr(timing, name))
    row |= {"metric.name": timing.metric.name} | _interval("metric", timing.metric.value)
    row |= {"size": model.size}
    start = next((c for c in benchmark.cold if c.model == timing.model), None)
    row |= {f"cold.{part}": start and getattr(start, part).value for part in COLD}
    used = next((m for m in benchmark.memory if m.model == timing.model), None)
    row |= {f"memory.{part}": used and getattr(used, part) for part in MEMORY}
    for energy in benchmark.energy:
        if (energy.model, energy.threads, energy.batch) == (timing.model, cell.threads, cell.batch) and energy.gross:
            name = f"energy.{energy.sensor}{'' if energy.measured else ' (modelled)'}"
            row |= _interval(f"{name}.gross", energy.gross) | _interval(f"{name}.net", energy.net)
    return row


def _interval(name: str, interval: Interval | None) -> dict[str, float | None]:
    ends = ("value", "low", "high")
    return {name if end == "value" else f"{name}.{end}": interval and getattr(interval, end) for end in ends}
