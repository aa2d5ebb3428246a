"""Energy in a benchmark: what sensors said, that there was none, or what was modelled from watts that were given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from compress.bench import energy as shared
from compress.bench.benchmark.events import Event
from compress.bench.benchmark.results import Cell, Energy
from compress.bench.figures import Interval
from edge_runtime.probes.events import decode


def energies(events: Iterable[Event]) -> list[Energy]:
    """One for every model and sensor; where there was no sensor, one that says so."""
    return [energy for event in events for energy in _of(event)]


def modelled(cells: Iterable[Cell], watts: float) -> list[Energy]:
    """``watts`` by the time of an inference, for every model in the cells of the first scenario.

    Raises ProbeError for watts that are not above 0.
    """
    cells = list(cells)
    return [
        Energy(timing.model, cell.threads, cell.batch, **shared.modelled(watts, 1 / timing.throughput.value))
        for cell in cells
        if cell.scenario == cells[0].scenario
        for timing in cell.timings
    ]


def _of(event: Event) -> Iterator[Energy]:
    load = (event["model"], event.get("threads", 1), event.get("batch", 1))
    if event.get("none"):
        yield Energy(*load, **shared.absent(event["none"]))
        return
    for answer in event["energies"]:
        fields = shared.sensed(answer)
        latency = _latency(event) if fields.get("gross") else None
        yield Energy(*load, **fields, method=event.get("method") or {}, latency=latency)


def _latency(event: Event) -> Interval | None:
    """Seconds of a call in the windows in which the joules were counted; None where the device did not tell them."""
    windows = [decode(window) for window in event.get("calls") or ()]
    medians = [float(np.median(seconds)) for seconds in windows if seconds.size]
    return Interval(float(np.median(medians)), min(medians), max(medians)) if medians else None
