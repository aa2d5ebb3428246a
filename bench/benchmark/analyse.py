"""From a device's events to a :class:`~compress.bench.benchmark.results.Benchmark`.

Works on whatever there is: of a stream that ends in the middle, what came before is analysed and what is missing is
said. Nothing is dropped: slow calls stay in every figure, refusals stay as refusals.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from compress.bench.benchmark import doubts
from compress.bench.benchmark import events as streams
from compress.bench.benchmark.cells import cells
from compress.bench.benchmark.energy import energies, modelled
from compress.bench.benchmark.events import Event
from compress.bench.benchmark.missing import missing
from compress.bench.benchmark.results import Benchmark, ColdStart, Memory, Model, Moment, Refused, Sustained
from compress.bench.figures import Interval
from compress.errors import RunError

ENDS = 0.1
"""Share of a sustained run whose median is its start, or its end."""
COLD = ("interpreter", "engine", "load", "first", "second")
MEMORY = ("engine", "loaded", "first", "peak")
KINDS = (
    "begin", "model", "refused", "cold", "memory", "round", "cell", "energy", "sustain", "peaks", "profile",
    "conditions", "end",
)  # fmt: skip


def analyse(
    events: Iterable[Event], *, target: str, command: Sequence[str] = (), watts: float | None = None
) -> Benchmark:
    """``target``: as the user calls it. ``watts``: also give the energy modelled from them, marked as modelled.

    Raises RunError for a stream without a beginning, of another version, or with an event that is not what it says.
    """
    found = streams.settled(streams.checked(events, "the events"))
    try:
        return _benchmark(found, target, command, watts)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        # They come from another machine, or from a file that a person may have changed.
        raise RunError(f"the events of {target} are malformed: {type(error).__name__}: {error}") from error


def _benchmark(found: list[Event], target: str, command: Sequence[str], watts: float | None) -> Benchmark:
    begin, plan = found[0], found[0]["plan"]
    kept = {kind: [event for event in found if event["event"] == kind] for kind in KINDS}
    end = kept["end"][-1] if kept["end"] else {"complete": False, "why": "the stream ends in the middle"}
    models = _models(plan, kept["model"])
    cores = begin["machine"].get("cores")
    timed = [
        replace(cell, doubts=[*cell.doubts, *doubts.of_threads(cell.threads, cores)])
        for cell in cells(plan, kept["round"], kept["cell"], models)
    ]
    refused = [Refused(e["model"] or "", e["what"], e["code"], e["reason"]) for e in kept["refused"]]
    emulated = any(event.get("emulated") for event in found if event["event"] == "begin")
    measured = energies(kept["energy"])
    return Benchmark(
        target=target,
        created=begin["created"],
        command=list(command),
        version=begin["version"],
        machine=begin["machine"],
        plan=plan,
        models=models,
        cells=timed,
        cold=[_cold(event) for event in kept["cold"] if event["samples"]],
        memory=[_memory(event) for event in kept["memory"]],
        energy=[*measured, *(modelled(timed, watts) if watts else ())],
        sustained=_sustained(kept["sustain"]),
        refused=refused,
        peaks=[_bare(event) for event in kept["peaks"]],
        profiles=[_bare(event) for event in kept["profile"]],
        conditions=[_bare(event) for event in kept["conditions"]],
        doubts=[doubts.EMULATED] if emulated else [],
        emulated=emulated,
        complete=bool(end["complete"]),
        missing=missing(plan, kept, refused),
        why=str(end["why"] or ""),
    )


def _bare(event: Event) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key != "event"}


def _models(plan: dict[str, Any], events: list[Event]) -> list[Model]:
    """All models of the plan, in its order; those that did not open have only a name and a path."""
    told = {event["model"]: event for event in events}
    models = []
    for model in plan["models"]:
        event = told.get(model["name"], {})
        keys = ("runtime", "version", "size", "inputs", "outputs", "source", "assumed")
        given = {key: event[key] for key in keys if event.get(key) is not None}
        models.append(Model(**({"runtime": model.get("runtime")} | given), name=model["name"], path=model["path"]))
    return models


def _cold(event: Event) -> ColdStart:
    samples = event["samples"]
    parts = {part: _spread([float(sample[part]) for sample in samples]) for part in COLD}
    # To the first answer: the second inference shows what is left of it afterwards, and comes later.
    total = _spread([sum(float(sample[part]) for part in COLD[:-1]) for sample in samples])
    return ColdStart(event["model"], event["threads"], len(samples), **parts, total=total)


def _spread(values: Sequence[float]) -> Interval:
    return Interval(float(np.median(values)), min(values), max(values))


def _memory(event: Event) -> Memory:
    own = event["interpreter"]
    parts = {part: event[part] - own for part in MEMORY}
    return Memory(event["model"], event["threads"], event["batch"], own, **parts, gpu=event.get("gpu"))


def _sustained(events: list[Event]) -> list[Sustained]:
    ends = {event["model"]: event for event in events if event.get("done")}
    courses: dict[str, list[Event]] = {}
    for event in events:
        if not event.get("done"):
            courses.setdefault(event["model"], []).append(event)
    found = []
    for model, course in courses.items():
        moments = [_moment(event) for event in course]
        edge = max(1, round(ENDS * len(moments)))
        start, end = (float(np.median([m.p50 for m in part])) for part in (moments[:edge], moments[-edge:]))
        last = ends.get(model, {"throttled_at": None, "why": "it was cut off"})
        load = (course[0]["threads"], course[0]["batch"])
        told = (last["throttled_at"], last["why"] or "")
        found.append(Sustained(model, *load, moments, start, end, model in ends, *told))
    return found


def _moment(event: Event) -> Moment:
    state = event.get("conditions") or {}
    told = {key: state.get(key) for key in ("frequency", "temperature", "throttled")}
    return Moment(event["second"], event["p50"], event["p99"], event["n"], **told)
