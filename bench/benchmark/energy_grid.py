"""Energy as a table: joules an inference by model and sensor, *none* where there was no sensor."""

from __future__ import annotations

from dataclasses import replace

from compress.bench import words
from compress.bench.benchmark.grid import DASH, Entry, Grid, Head, own_load, scaled, titled
from compress.bench.benchmark.results import Benchmark, Doubt, Energy
from compress.bench.energy import NONE, updates


def energy(benchmark: Benchmark) -> Grid:
    """Joules an inference, by sensor; *none* where there was none."""
    scale, unit = words.unit_of_joules(e.gross.value for e in benchmark.energy if e.gross)
    time_scale, time_unit = words.unit_of_times(e.latency.value for e in benchmark.energy if e.latency)
    known = [e for e in benchmark.energy if e.gross]
    heads = [
        Head("Model", left=True), Head("Gross", unit), Head("Net of idle", unit), Head("Power", "W"), Head("Idle", "W"),
        Head("Call", time_unit, rank=1), Head("Sensor", left=True),
    ]  # fmt: skip
    told = benchmark.energy
    sensed = [e for e in told if e.measured]
    if sensed and not any(e.gross for e in sensed):  # one and the same nothing for each
        told = [replace(sensed[0], model="all models"), *(e for e in told if not e.measured)]
    rows = [[_name(e, known), *_joules(e, scale), *_watts(e), _call(e, time_scale), _sensor(e)] for e in told]
    doubts = [*benchmark.doubts] if any(e.measured for e in known) else []
    title = titled("energy of an inference", known)
    return Grid(title, _energy_note(benchmark), heads, rows, doubts, [_warned(e) for e in told])


def _name(of: Energy, known: list[Energy]) -> Entry:
    """The model, with threads and batch where these differ among the rows; where there is no figure, none were used."""
    name = of.model + (own_load(of, known) if of.gross else "")
    return Entry(name, value=name)


def _call(of: Energy, scale: float) -> Entry:
    return scaled(of.latency, scale) if of.latency else DASH


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
    sources = dict.fromkeys(f"{e.sensor}: {e.source}{updates(e.resolution)}" for e in benchmark.energy if e.gross)
    spread = "medians of the windows, with the least and the largest" if any(e.gross for e in benchmark.energy) else ""
    call = "call: its time in these same windows" if any(e.latency for e in benchmark.energy) else ""
    return "; ".join([*filter(None, [spread, call]), *sources, *reasons])
