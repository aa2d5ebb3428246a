"""Which power sensors there are, and which of them this user can read now.

The modules named here are the sensors that can be found; an external meter cannot, and is named by its user
(`edge_runtime.energy.meter.open_meter`). ``root`` is the root of the file system, or of a recorded one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from edge_runtime.energy import hwmon, ina3221, nvml, pi5_pmic, rapl
from edge_runtime.energy.base import Sensor
from edge_runtime.energy.tree import ROOT
from edge_runtime.errors import SensorError

SENSORS: tuple[ModuleType, ...] = (rapl, hwmon, ina3221, pi5_pmic, nvml)


@dataclass(frozen=True)
class Unusable:
    """A sensor that is there and cannot be read: ``reason`` says why, and what to do."""

    name: str
    reason: str


@dataclass(frozen=True)
class Found:
    """``sensors`` can be opened and have answered once; ``unusable`` are there all the same."""

    sensors: tuple[Sensor, ...]
    unusable: tuple[Unusable, ...]

    def words(self) -> str:
        """One line for a person: the sensors, or *none* and why."""
        if self.sensors:
            return "; ".join(f"{sensor.name}: {sensor.source}" for sensor in self.sensors)
        return "; ".join(["none", *self._obstacles()])

    def why_none(self) -> str:
        """Why there is no sensor, where none can be used."""
        return "; ".join(self._obstacles()) or "no sensor found"

    def _obstacles(self) -> list[str]:
        return [f"{sensor.name} is there, but {sensor.reason}" for sensor in self.unusable]


def detect(root: Path = ROOT) -> tuple[str, ...]:
    """Kinds of the sensors present, readable by this user or not (RAPL often is root's alone)."""
    return tuple(module.KIND for module in SENSORS if module.present(root))


def find(root: Path = ROOT) -> Found:
    """The sensors present, each tried by one reading."""
    sensors: list[Sensor] = []
    unusable: list[Unusable] = []
    for module in SENSORS:
        if not module.present(root):
            continue
        try:
            candidates = list(module.find(root))
        except SensorError as error:
            unusable.append(Unusable(module.KIND, str(error)))
            continue
        for sensor in candidates:
            try:
                with sensor:
                    sensor.read()
            except SensorError as error:
                unusable.append(Unusable(sensor.name, str(error)))
            else:
                sensors.append(sensor)
    return Found(tuple(sensors), tuple(unusable))
