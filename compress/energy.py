"""Energy in a run: the sensors and the protocol of `compress bench` (docs/energy.md), on the variants just timed.

Only for recipes that ask for it (``measure: {energy: true}``): rest and windows take half a minute, and nearly another
minute for every variant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from compress.recipe import Measure, Recipe
from edge_runtime.energy.base import Sensor
from edge_runtime.energy.find import find
from edge_runtime.energy.meter import open_meter
from edge_runtime.probes import energy as probe

Call = Callable[[], object]
Tell = Callable[[int, int, str], object]

TIMES = {"idle_seconds": probe.IDLE_SECONDS, "windows": probe.WINDOWS, "window_seconds": probe.WINDOW_SECONDS}
"""Of the protocol; docs/energy.md."""


def seconds(variants: int) -> float:
    """About how long it takes for so many variants."""
    return TIMES["idle_seconds"] + variants * TIMES["windows"] * TIMES["window_seconds"]


def sensors_here(settings: Measure) -> list[str]:
    """What there is to read, as part of a measurement's key: with another sensor, or another reason that there is none,
    it is another measurement."""
    found = find()
    names = [sensor.name for sensor in found.sensors]
    return [*names, *settings.meters] or [found.why_none()]


def meters(settings: Measure, recipe: Recipe) -> list[Sensor]:
    """The recipe's external meters, not open yet; files are relative to the recipe. Raises MeterError."""
    return [open_meter(name if "://" in name else str(recipe.resolve(name))) for name in settings.meters]


def measure(
    runs: Mapping[str, Call], meters: Sequence[Sensor], *, batch: int = 1, seed: int = 0, tell: Tell | None = None
) -> dict[str, Any]:
    """Energy of ``runs`` by every sensor found here and ``meters``, as JSON: ``energies`` by name, one a sensor, and
    the ``method``; or ``none``: why there is no sensor.

    ``batch``: samples in a call. ``tell(done, total, words)`` hears of every step. Raises SensorError when a sensor or
    meter cannot be opened.
    """
    found = find()
    sensors = [*found.sensors, *meters]
    if not sensors:
        return {"none": found.why_none()}
    steps = 1 + TIMES["windows"] * len(runs)
    told = iter(range(steps))
    taken = probe.measure(
        runs,
        sensors,
        batch=batch,
        seed=seed,
        on_step=tell and (lambda words: tell(next(told, steps), steps, f"energy: {words}")),
        **TIMES,
    )
    energies = {name: [asdict(one) for one in answers] for name, answers in taken.energies.items()}
    return {"energies": energies, "method": taken.method}
