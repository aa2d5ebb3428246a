"""The power monitors of NVIDIA's Jetson boards: INA3221 with three rails each, and the INA238 of Thor's board input.

Where they are found, by generation:

- JetPack 5 and later: `hwmon` below the driver `ina3221`; of channels 1 to 3 ``inN_label`` names the rail,
  ``inN_input`` is in millivolts, ``currN_input`` in milliamperes. Channels 4 to 6 are shunt voltages and 7 is their
  sum, which is no rail.
- JetPack 4: `iio` below the driver `ina3221x`; ``rail_name_N``, ``in_powerN_input`` in milliwatts, N = 0 to 2.
- Thor: beside the INA3221 an `ina238` at the board's input, ``power1_input`` in microwatts.

A rail that feeds all others is the total alone. Without one, the total is the sum of the rails that are not fed by
another that is measured too. Channels called NC are not connected. Readings may be a little below zero (an offset of
the chip when hardly any current flows); they stay, since cutting them off would raise every average.

https://docs.kernel.org/hwmon/ina3221.html, https://docs.kernel.org/hwmon/ina238.html, NVIDIA's Jetson Linux Developer
Guide, "Power consumption"
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from edge_runtime.energy import tree
from edge_runtime.energy.base import Rail, Resolution, Sensor
from edge_runtime.errors import SensorError

KIND = "ina3221"
HWMON = "sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*"
IIO = "sys/bus/i2c/drivers/ina3221x/*/iio:device*"
INA238 = "sys/bus/i2c/drivers/ina238/*/hwmon/hwmon*"
CHIPS = ("ina3221", "ina238")
"""What `hwmon` calls them, so that they are not found a second time there."""

TOTALS = {
    "VIN": "the whole board's input",
    "VDD_IN": "the module's input, without its carrier board",
    "POM_5V_IN": "the module's input, without its carrier board",
}
"""Rails that feed all others."""
WITHIN = {"VDDQ_VDD2_1V8AO": "VIN_SYS_5V0"}
"""Rails fed by another: on AGX Orin the memory's regulators take their power from the 5 V input (both show the same
voltage, upstream of them)."""

INTERVAL = 0.05
"""Seconds between two readings where the driver does not say how often it converts: reading over I2C takes
milliseconds."""
SHUNT_STEP = 40e-6
"""Volts: the smallest difference of a shunt's voltage that an INA3221 tells."""


class Channel(NamedTuple):
    """A rail: its name, where it hangs (driver and address), how to read its watts, and the smallest step of those."""

    rail: str
    address: str
    watts: Callable[[], float]
    step: float | None


def present(root: Path) -> bool:
    rails = tree.exists(root, f"{HWMON}/curr*_input", f"{IIO}/in_power*_input")
    return rails or (jetson(root) and tree.exists(root, f"{INA238}/power1_input"))


def jetson(root: Path) -> bool:
    """Whether the board is one of those whose rails are read here."""
    return "nvidia,tegra" in (tree.text(root / "proc/device-tree/compatible") or "")


def find(root: Path) -> Iterator[Sensor]:
    yield Ina3221(root)


class Ina3221(Sensor):
    """All connected rails below ``root``. Raises SensorError when there is none."""

    kind = name = KIND
    counts = False

    def __init__(self, root: Path = tree.ROOT) -> None:
        self._missing: list[str] = []
        channels = [*self._ina238(root), *self._hwmon(root), *self._iio(root)]
        if not channels:
            missing = f": {', '.join(self._missing)}" if self._missing else ""
            raise SensorError(f"the board's power monitors have no rail that is connected and can be read{missing}")
        names = [channel.rail for channel in channels]
        whole = next((name for name in TOTALS if name in names), None)
        self._channels = channels
        self.rails = tuple(Rail(_label(channel, names), _counts(channel.rail, names, whole)) for channel in channels)
        self.source = self._words(whole)
        steps = [channel.step for channel, rail in zip(channels, self.rails, strict=True) if rail.counted]
        known = [step for step in steps if step is not None]
        self.resolution = Resolution(max(known) if len(known) == len(steps) else None, self._interval(root))

    def readings(self) -> tuple[float, ...]:
        return tuple(channel.watts() for channel in self._channels)

    def notes(self) -> tuple[str, ...]:
        return (f"rails without a reading: {', '.join(self._missing)}",) if self._missing else ()

    def _words(self, whole: str | None) -> str:
        counted = " + ".join(rail.name for rail in self.rails if rail.counted)
        scope = TOTALS[whole] if whole else "the rails that are measured, without carrier board and unmeasured parts"
        return f"power monitors INA3221 and INA238: {counted}: {scope}"

    def _hwmon(self, root: Path) -> Iterator[Channel]:
        for folder in sorted(root.glob(HWMON)):
            for number in (1, 2, 3):
                label = tree.text(folder / f"in{number}_label")
                if label is None or "NC" in label.split("_") or tree.text(folder / f"in{number}_enable") == "0":
                    continue
                volts, amperes = folder / f"in{number}_input", folder / f"curr{number}_input"
                if volts.exists() and amperes.exists():
                    step = _step(folder / f"shunt{number}_resistor", volts)
                    yield Channel(label, folder.parent.parent.name, _product(volts, amperes), step)
                else:
                    self._missing.append(label)

    def _iio(self, root: Path) -> Iterator[Channel]:
        for folder in sorted(root.glob(IIO)):
            for number in (0, 1, 2):
                label = tree.text(folder / f"rail_name_{number}")
                if label is None or "NC" in label.split("_"):
                    continue
                power = folder / f"in_power{number}_input"
                if power.exists():
                    yield Channel(label, folder.parent.name, _scaled(power, 1e-3), 1e-3)
                else:
                    self._missing.append(label)

    def _ina238(self, root: Path) -> Iterator[Channel]:
        for folder in sorted(root.glob(INA238)):
            if (folder / "power1_input").exists():
                label = tree.text(folder / "in1_label") or tree.text(folder / "label") or "VIN"
                yield Channel(label, folder.parent.parent.name, _scaled(folder / "power1_input", 1e-6), None)

    def _interval(self, root: Path) -> float:
        """Seconds: how often the slowest chip converts, where its driver says so, but no quicker than reading is."""
        texts = [tree.text(path) or "" for path in root.glob(f"{HWMON}/update_interval")]
        return max([INTERVAL, *(int(text) * 1e-3 for text in texts if text.isdecimal())])


def _counts(rail: str, names: list[str], whole: str | None) -> bool:
    return rail == whole if whole else WITHIN.get(rail) not in names


def _label(channel: Channel, names: list[str]) -> str:
    """The rail's name, with the chip's address where two are called the same."""
    return f"{channel.rail}@{channel.address}" if names.count(channel.rail) > 1 else channel.rail


def _product(volts: Path, amperes: Path) -> Callable[[], float]:
    return lambda: tree.number(volts) * tree.number(amperes) * 1e-6


def _scaled(power: Path, scale: float) -> Callable[[], float]:
    return lambda: tree.number(power) * scale


def _step(shunt: Path, volts: Path) -> float | None:
    """Watts: the smallest step of the current through this shunt (micro-ohms), at the present voltage (millivolts)."""
    ohms, millivolts = tree.text(shunt) or "", tree.text(volts) or ""
    if not (ohms.isdecimal() and int(ohms) and millivolts.isdecimal()):
        return None
    return SHUNT_STEP / (int(ohms) * 1e-6) * int(millivolts) * 1e-3
