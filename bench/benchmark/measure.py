"""Carry out a request: measure on every device, tell how it goes, and read what came of it, whole or not."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from compress.bench.benchmark.analyse import analyse
from compress.bench.benchmark.bundles import with_flash
from compress.bench.benchmark.events import FILE, read
from compress.bench.benchmark.fits import fitting
from compress.bench.benchmark.floors import with_floors
from compress.bench.benchmark.place import by_plan, told
from compress.bench.benchmark.request import Request
from compress.bench.benchmark.results import Benchmark
from compress.bench.benchmark.told import Told
from compress.bench.devices.base import Device, Event, OnEvent
from compress.bench.devices.many import run_all
from compress.bench.devices.signals import status
from compress.errors import CompressError, RunError
from compress.progress import Emit


@dataclass(frozen=True)
class Outcome:
    """``benchmarks``: of every device that told anything. ``problems``: what went wrong, by the device's name.
    ``interrupted``: the exit status after Ctrl-C or a signal like it; None where there was none."""

    benchmarks: list[Benchmark]
    problems: dict[str, CompressError]
    interrupted: int | None = None


def measure(
    request: Request, devices: Sequence[Device], folder: Path, emit: Emit, *, axes: Collection[str] = ()
) -> Outcome:
    """Measure on ``devices``; their events are kept in ``folder``, of several in a folder for each.

    ``axes``: names that a person gave sizes to. Whatever ends it early, what was measured until then is read and
    returned; events that another plan has measured are a problem, and no result.
    """
    hear = {device.name: fitting(request.plan, axes, Told(device.name, len(devices) > 1, emit)) for device in devices}
    problems: dict[str, CompressError] = {}
    interrupted = None
    try:
        if len(devices) == 1:
            _alone(devices[0], request, folder, hear[devices[0].name], problems)
        else:
            ended = run_all(
                devices, request.plan, request.files, lambda device, event: hear[device.name](event), folder=folder
            )
            problems |= {name: problem for name, problem in ended.items() if problem}
    except KeyboardInterrupt as error:
        interrupted = status(error)
    benchmarks = []
    for name, place in places_of(folder, [device.name for device in devices]).items():
        if not told(place):
            continue
        events = read(place)
        if by_plan(request.plan, events):
            benchmarks.append(_benchmark(request, name, events))
        else:
            problems.setdefault(name, RunError(f"{place} has the events of another plan; choose another folder"))
    return Outcome(benchmarks, problems, interrupted)


def _benchmark(request: Request, target: str, events: list[Event]) -> Benchmark:
    found = analyse(events, target=target, command=request.command, watts=request.watts)
    return with_flash(with_floors(found, request.files), request.files)


def places_of(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """The file of events of each device."""
    return {name: (folder if len(names) == 1 else folder / name) / FILE for name in names}


def _alone(device: Device, request: Request, folder: Path, hear: OnEvent, problems: dict[str, CompressError]) -> None:
    try:
        device.run(request.plan, request.files, hear, folder=folder)
    except CompressError as error:
        problems[device.name] = error
