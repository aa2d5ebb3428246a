"""Energy in a benchmark: what sensors said, that there was none, or what was modelled from watts that were given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from compress.bench.benchmark.events import Event
from compress.bench.benchmark.results import Cell, Energy
from compress.bench.results import Interval
from edge_runtime.energy.result import model_energy

SPREADS = ("gross", "net", "power", "idle")
NO_SENSOR = "none"


def energies(events: Iterable[Event]) -> list[Energy]:
    """One for every model and sensor; where there was no sensor, one that says so."""
    return [energy for event in events for energy in _of(event)]


def modelled(cells: Iterable[Cell], watts: float) -> list[Energy]:
    """``watts`` by the time of an inference, for every model in the cells of the first scenario.

    Raises ProbeError for watts that are not above 0.
    """
    cells = list(cells)
    found = []
    for cell in (cell for cell in cells if cell.scenario == cells[0].scenario):
        for timing in cell.timings:
            answer = model_energy(watts, 1 / timing.throughput.value)
            joules = _spread({"median": answer.gross.median, "low": answer.gross.low, "high": answer.gross.high})
            found.append(
                Energy(timing.model, cell.threads, cell.batch, answer.sensor, answer.source, False, gross=joules)
            )
    return found


def _of(event: Event) -> Iterator[Energy]:
    load = (event["model"], event.get("threads", 1), event.get("batch", 1))
    if event.get("none"):
        yield Energy(*load, NO_SENSOR, NO_SENSOR, none=event["none"])
        return
    for answer in event["energies"]:
        spreads = {name: _spread(answer[name]) for name in SPREADS if answer.get(name)}
        yield Energy(
            *load,
            answer["sensor"],
            answer["source"],
            answer.get("measured", True),
            **spreads,
            rails=answer.get("rails") or {},
            windows=answer.get("windows", 0),
            windows_asked=answer.get("windows_asked", 0),
            seconds=answer.get("seconds", 0.0),
            resolution=answer.get("resolution") or {},
            none=answer.get("not_measured"),
            warnings=list(answer.get("warnings") or ()),
            method=event.get("method") or {},
        )


def _spread(given: dict[str, Any]) -> Interval:
    return Interval(given["median"], given["low"], given["high"])
