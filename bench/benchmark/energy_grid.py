"""Energy as a table: joules an inference by model and sensor, *none* where there was no sensor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from compress.bench import words
from compress.bench.benchmark.grid import DASH, Entry, Grid, Head, scaled
from compress.bench.benchmark.results import Benchmark, Doubt, Energy

NONE = "none"


def energy(benchmark: Benchmark) -> Grid:
    """Joules an inference, by sensor; *none* where there was none."""
    scale, unit = _unit_of_joules(e.gross.value for e in benchmark.energy if e.gross)
    heads = [
        Head("Model", left=True), Head("Gross", unit), Head("Net of idle", unit), Head("Power", "W"), Head("Idle", "W"),
        Head("Sensor", left=True),
    ]  # fmt: skip
    told = benchmark.energy
    sensed = [e for e in told if e.measured]
    if sensed and not any(e.gross for e in sensed):  # one and the same nothing for each
        told = [replace(sensed[0], model="all models"), *(e for e in told if not e.measured)]
    rows = [[_load(benchmark, e), *_joules(e, scale), *_watts(e), _sensor(e)] for e in told]
    doubts = [*benchmark.doubts] if any(e.gross and e.measured for e in benchmark.energy) else []
    return Grid("energy of an inference", _energy_note(benchmark), heads, rows, doubts, [_warned(e) for e in told])


def _unit_of_joules(values: Iterable[float]) -> tuple[float, str]:
    most = max(values, default=1e-3)
    units = ((1.0, "J"), (1e-3, "mJ"), (1e-6, "µJ"))
    return next(((scale, name) for scale, name in units if most >= scale), units[-1])


def _load(benchmark: Benchmark, of: Energy) -> Entry:
    """The model, with threads and batch where these differ among the rows."""
    loads = {(e.threads, e.batch) for e in benchmark.energy}
    name = of.model if len(loads) == 1 else f"{of.model}, {words.counted(of.threads, 'thread')}, batch {of.batch}"
    return Entry(name, value=name)


def _joules(of: Energy, scale: float) -> list[Entry]:
    if of.gross is None:
        return [Entry(NONE, mark="faint"), Entry(NONE, mark="faint")]
    if not of.measured:
        return [Entry(words.digits(of.gross.value / scale), "modelled", of.gross.value), DASH]
    return [scaled(of.gross, scale), scaled(of.net, scale) if of.net else DASH]


def _watts(of: Energy) -> list[Entry]:
    return [Entry(words.digits(w.value), value=w.value) if w else DASH for w in (of.power, of.idle)]


def _sensor(of: Energy) -> Entry:
    return Entry("modelled" if not of.measured else of.sensor, value=of.sensor)


def _warned(of: Energy) -> list[Doubt]:
    found = [Doubt("sensor", f"{of.model}, {of.sensor}: {warning}") for warning in of.warnings]
    if of.windows < of.windows_asked:
        found.append(Doubt("windows", f"{of.model}, {of.sensor}: {of.windows} of {of.windows_asked} windows"))
    return found


def _energy_note(benchmark: Benchmark) -> str:
    """What the figures are, and what each sensor sees."""
    reasons = dict.fromkeys(f"none: {e.none}" for e in benchmark.energy if e.none)
    sources = dict.fromkeys(f"{e.sensor}: {e.source}{_step(e)}" for e in benchmark.energy if e.gross)
    spread = "medians of the windows, with the least and the largest" if any(e.gross for e in benchmark.energy) else ""
    return "; ".join([*([spread] if spread else []), *sources, *reasons])


def _step(of: Energy) -> str:
    step, interval = of.resolution.get("step"), of.resolution.get("interval")
    told = [f"steps of {step:g}"] if step else []
    told += [f"updated every {words.seconds(interval)}"] if interval else []
    return f" ({', '.join(told)})" if told else ""
