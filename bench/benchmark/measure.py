"""Carry out a request: measure on every device, tell how it goes, and read what came of it, whole or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from compress.bench.benchmark.analyse import analyse
from compress.bench.benchmark.events import FILE, read
from compress.bench.benchmark.floors import with_floors
from compress.bench.benchmark.request import Request
from compress.bench.benchmark.results import Benchmark
from compress.bench.benchmark.told import Told
from compress.bench.devices.base import Device
from compress.bench.devices.many import run_all
from compress.errors import CompressError
from compress.progress import Emit


@dataclass(frozen=True)
class Outcome:
    """``benchmarks``: of every device that told anything. ``problems``: what went wrong, by the device's name.
    ``interrupted``: by Ctrl-C."""

    benchmarks: list[Benchmark]
    problems: dict[str, CompressError]
    interrupted: bool = False


def measure(request: Request, devices: Sequence[Device], folder: Path, emit: Emit) -> Outcome:
    """Measure on ``devices``; their events are kept in ``folder``, of several in a folder for each.

    Whatever ends it early, what was measured until then is read and returned.
    """
    told = {device.name: Told(device.name, len(devices) > 1, emit) for device in devices}
    problems: dict[str, CompressError] = {}
    interrupted = False
    try:
        if len(devices) == 1:
            _alone(devices[0], request, folder, told[devices[0].name], problems)
        else:
            ended = run_all(
                devices, request.plan, request.files, lambda device, event: told[device.name](event), folder=folder
            )
            problems |= {name: problem for name, problem in ended.items() if problem}
    except KeyboardInterrupt:
        interrupted = True
    places = {device.name: places_of(folder, [d.name for d in devices])[device.name] for device in devices}
    benchmarks = [
        with_floors(analyse(read(place), target=name, command=request.command, watts=request.watts), request.files)
        for name, place in places.items()
        if place.is_file() and place.stat().st_size
    ]
    return Outcome(benchmarks, problems, interrupted)


def places_of(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """The file of events of each device."""
    return {name: (folder if len(names) == 1 else folder / name) / FILE for name in names}


def _alone(device: Device, request: Request, folder: Path, told: Told, problems: dict[str, CompressError]) -> None:
    try:
        device.run(request.plan, request.files, told, folder=folder)
    except CompressError as error:
        problems[device.name] = error
