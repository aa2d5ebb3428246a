"""From the rounds of a stream to its cells, also those that were cut off."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from compress.bench.benchmark import doubts
from compress.bench.benchmark.events import Event
from compress.bench.benchmark.results import Cell, Model
from compress.bench.benchmark.timing import Key, alike, fastest, timing
from compress.errors import RunError
from edge_runtime.probes import plan as plans
from edge_runtime.probes.events import decode

INTERRUPTED = "interrupted"


def planned(plan: dict[str, Any]) -> tuple[plans.Cell, ...]:
    """The cells of a plan as it stands in the events. Raises ProbeError for one that is none."""
    return plans.parse(json.dumps(plan)).cells


def cells(plan: dict[str, Any], rounds: list[Event], closed: list[Event], models: Iterable[Model] = ()) -> list[Cell]:
    """A cell for each of which at least one round was measured, in the plan's order; ``models``: as they were opened.

    Raises RunError for rounds that cannot be read.
    """
    ends = {event["cell"]: event for event in closed}
    by_cell: dict[str, list[Event]] = defaultdict(list)
    for event in rounds:
        by_cell[event["cell"]].append(event)
    names = [model["name"] for model in plan["models"]]
    precision = float(plan.get("precision", 0))
    assumed = {model.name: model.assumed for model in models}
    return [
        _cell(cell, _Rounds(by_cell[cell.name], names), ends.get(cell.name), precision, assumed)
        for cell in planned(plan)
        if by_cell[cell.name]
    ]


class _Rounds:
    """``seconds[model]`` of the calls by (placement, round), the models in the plan's order; ``samples`` in a call."""

    def __init__(self, events: list[Event], names: list[str]) -> None:
        self.samples = {event["model"]: event["samples"] for event in events}
        self.seconds: dict[str, dict[Key, Any]] = {name: {} for name in names if name in self.samples}
        for event in events:
            if event["samples"] != self.samples[event["model"]] or not event["samples"] > 0:
                raise RunError(
                    f"{event['cell']}: {event['model']} has calls of {event['samples']} samples among others"
                )
            self.seconds[event["model"]][event["placement"], event["round"]] = _decoded(event)

    def each(self, model: str) -> dict[Key, Any]:
        """Seconds a sample: calls of two models need not have as many (bursts of offline have not)."""
        return {key: seconds / self.samples[model] for key, seconds in self.seconds[model].items()}


def _decoded(event: Event) -> Any:
    try:
        seconds = decode(event["seconds"])
        if not seconds.size or not (seconds > 0).all():
            raise ValueError("there is none, or one that is not above 0 seconds")
    except ValueError as error:
        raise RunError(
            f"{event['cell']}, round {event['round']} of {event['model']}: its times cannot be read: {error}"
        ) from error
    return seconds


def _cell(
    cell: plans.Cell, of: _Rounds, end: Event | None, precision: float, assumed: Mapping[str, dict[str, int]]
) -> Cell:
    method = dict((end or {}).get("method") or {})
    conditions = dict((end or {}).get("conditions") or {})
    ended_by = method.get("ended_by", "seconds") if end else INTERRUPTED
    rounds = max(len(found) for found in of.seconds.values())
    warm_up = method.get("warm_up") or {}
    reference = next(iter(of.seconds))
    timings = [
        timing(
            name,
            seconds,
            None if name == reference else of.each(reference),
            scenario=cell.scenario,
            samples=of.samples[name],
            warm_up=warm_up.get(name) or {},
            doubts=doubts.of_model(warm_up.get(name) or {}, assumed.get(name) or {}),
        )
        for name, seconds in of.seconds.items()
    ]
    each = {name: of.each(name) for name in of.seconds}
    unbeaten = fastest(each)
    return Cell(
        id=cell.name,
        scenario=cell.scenario,
        threads=cell.threads,
        batch=cell.batch,
        timings=timings,
        fastest=unbeaten,
        alike=alike(each, unbeaten),
        ended_by=ended_by,
        rounds=rounds,
        placements=len({placement for found in of.seconds.values() for placement, _ in found}),
        method=method,
        conditions=conditions,
        doubts=[*doubts.of_conditions(conditions), *doubts.of_cell(rounds, ended_by, precision)],
    )
