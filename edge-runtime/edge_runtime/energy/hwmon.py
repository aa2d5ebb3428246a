"""Anything else that tells the kernel watts: AMD's GPUs, server power supplies, ACPI power meters.

A chip has channels, ``powerN_input`` (now) or ``powerN_average``, in microwatts. Nothing in the interface says what a
channel includes, so none are added up: every channel is a sensor of its own, called by its chip and its label.

https://docs.kernel.org/hwmon/sysfs-interface.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from edge_runtime.energy import ina3221, tree
from edge_runtime.energy.base import Rail, Resolution, Sensor

KIND = "hwmon"
FOLDERS = "sys/class/hwmon/hwmon*"
CHANNEL = re.compile(r"power(\d+)_(input|average)")
INTERVAL = 0.1
"""Seconds between two readings where the driver does not say how often it updates them."""


def present(root: Path) -> bool:
    return any(True for _ in _channels(root))


def find(root: Path) -> Iterator[Sensor]:
    seen: dict[str, int] = {}
    for folder, channel in _channels(root):
        sensor = Hwmon(folder, channel)
        seen[sensor.name] = seen.get(sensor.name, 0) + 1
        if seen[sensor.name] > 1:
            sensor.name += f"#{seen[sensor.name]}"
        yield sensor


class Hwmon(Sensor):
    """One channel of one chip: ``folder`` is the chip's, ``channel`` the number in ``power1_input``."""

    kind = KIND
    counts = False

    def __init__(self, folder: Path, channel: int) -> None:
        chip = tree.text(folder / "name") or folder.name
        label = tree.text(folder / f"power{channel}_label") or f"power{channel}"
        now, average = folder / f"power{channel}_input", folder / f"power{channel}_average"
        self._path = now if now.exists() else average
        self.name = f"{KIND}:{chip}/{label}"
        self.rails = (Rail(label),)
        span = 0.0 if self._path == now else _seconds(folder / f"power{channel}_average_interval") or INTERVAL
        interval = _seconds(folder / "update_interval") or INTERVAL
        self.resolution = Resolution(step=1e-6, interval=interval, span=span)
        what = "power" if self._path == now else "averaged power"
        self.source = f"hwmon {what}: chip {chip}, {label}; what that includes is the driver's to say"

    def readings(self) -> tuple[float, ...]:
        return (tree.number(self._path) * 1e-6,)


def _channels(root: Path) -> Iterator[tuple[Path, int]]:
    """Every chip's folder with the numbers of its power channels, but for the rails of a Jetson."""
    jetson = ina3221.present(root)
    for folder in sorted(root.glob(FOLDERS)):
        if jetson and tree.text(folder / "name") in ina3221.CHIPS:
            continue
        names = (path.name for path in folder.glob("power*_*"))
        numbers = {int(match[1]) for match in map(CHANNEL.fullmatch, names) if match}
        yield from ((folder, number) for number in sorted(numbers))


def _seconds(path: Path) -> float | None:
    """A file's milliseconds."""
    milliseconds = tree.text(path) or ""
    return int(milliseconds) * 1e-3 if milliseconds.isdecimal() and int(milliseconds) else None
