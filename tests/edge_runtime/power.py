"""Recorded power sensors as small file systems, and a world whose time and power a test sets."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from edge_runtime.energy.base import Odometer, Rail, Resolution, Sensor
from edge_runtime.errors import SensorError

POWERCAP = "sys/class/powercap/intel-rapl:"
DRIVERS = "sys/bus/i2c/drivers"


def rapl(zones: dict[str, tuple[str, int]], span: int = 262_143_328_850) -> dict[str, str]:
    """Zones by number ("0", "0:1"): their name and microjoules."""
    files = {}
    for number, (name, energy) in zones.items():
        files[f"{POWERCAP}{number}/name"] = f"{name}\n"
        files[f"{POWERCAP}{number}/energy_uj"] = f"{energy}\n"
        files[f"{POWERCAP}{number}/max_energy_range_uj"] = f"{span}\n"
    return files


def ina3221(chip: str, rails: list[tuple[str | None, int, int]], shunt: int = 5000) -> dict[str, str]:
    """hwmon files of an INA3221 at an address such as "1-0040": label, millivolts and milliamperes of three channels,
    with the shunt voltages 4 to 6 and their sum 7, as JetPack 5 and 6 show them."""
    folder = f"{DRIVERS}/ina3221/{chip}/hwmon/hwmon{chip[-1]}"
    files = {f"{folder}/name": "ina3221\n", f"{folder}/in7_label": "sum of shunt voltages\n"}
    files[f"{folder}/in7_input"] = "840\n"
    for number, (label, volts, amperes) in enumerate(rails, 1):
        if label is not None:
            files[f"{folder}/in{number}_label"] = f"{label}\n"
        files[f"{folder}/in{number}_input"] = f"{volts}\n"
        files[f"{folder}/curr{number}_input"] = f"{amperes}\n"
        files[f"{folder}/in{number}_enable"] = "1\n"
        files[f"{folder}/shunt{number}_resistor"] = f"{shunt}\n"
        files[f"{folder}/in{number + 3}_input"] = f"{amperes * shunt // 1000}\n"
    return files


def iio(chip: str, device: int, rails: list[tuple[str, int]]) -> dict[str, str]:
    """iio files of an INA3221 under JetPack 4: names and milliwatts."""
    folder = f"{DRIVERS}/ina3221x/{chip}/iio:device{device}"
    files = {f"{folder}/name": "ina3221x\n"}
    for number, (label, power) in enumerate(rails):
        files[f"{folder}/rail_name_{number}"] = f"{label}\n"
        files[f"{folder}/in_power{number}_input"] = f"{power}\n"
        files[f"{folder}/in_voltage{number}_input"] = "5000\n"
    return files


def ina238(power: int) -> dict[str, str]:
    """hwmon files of Thor's INA238: microwatts at the board's input."""
    folder = f"{DRIVERS}/ina238/2-0044/hwmon/hwmon6"
    return {
        f"{folder}/name": "ina238\n",
        f"{folder}/power1_input": f"{power}\n",
        f"{folder}/in1_input": "19800\n",
        f"{folder}/curr1_input": "1500\n",
    }


ORIN_NANO = ina3221("1-0040", [("VDD_IN", 4920, 1000), ("VDD_CPU_GPU_CV", 4920, 200), ("VDD_SOC", 4920, 300)])
AGX_ORIN = ina3221(
    "1-0040", [("VDD_GPU_SOC", 19800, 160), ("VDD_CPU_CV", 19800, 50), ("VIN_SYS_5V0", 4968, 900)], shunt=2000
) | ina3221("1-0041", [("NC", 0, 0), ("VDDQ_VDD2_1V8AO", 4968, 200), ("NC", 0, 0)], shunt=2000)
AGX_XAVIER = ina3221("1-0040", [("GPU", 19000, 100), ("CPU", 19000, 50), ("SOC", 19000, 70)]) | ina3221(
    "1-0041", [("CV", 19000, 0), ("VDDRQ", 19000, 30), ("SYS5V", 4900, 500)]
)
NANO = iio("6-0040", 0, [("POM_5V_IN", 2512), ("POM_5V_GPU", 40), ("POM_5V_CPU", 485)])
TX2 = iio("0-0040", 0, [("VDD_SYS_GPU", 152), ("VDD_SYS_SOC", 686), ("VDD_4V0_WIFI", 19)]) | iio(
    "0-0041", 1, [("VDD_IN", 3575), ("VDD_SYS_CPU", 458), ("VDD_SYS_DDR", 902)]
)
THOR_BOARD = {
    "proc/device-tree/model": "NVIDIA Jetson AGX Thor Developer Kit\0",
    "proc/device-tree/compatible": "nvidia,p4071-0000+p3834-0008\0nvidia,tegra264\0",
}
THOR_RAILS = ina3221("2-0040", [("VDD_GPU", 19800, -20), ("VDD_CPU_SOC_MSS", 19800, 330), ("VIN_SYS_5V0", 4960, 1300)])

PMIC = """ 3V7_WL_SW_A current(0)=0.09000000A
   3V3_SYS_A current(1)=0.08000000A
  DDR_VDD2_A current(3)=0.20000000A
  VDD_CORE_A current(7)=2.00000000A
      HDMI_A current(22)=0.02000000A
 3V7_WL_SW_V volt(8)=3.70000000V
   3V3_SYS_V volt(9)=3.30000000V
  DDR_VDD2_V volt(11)=1.10000000V
  VDD_CORE_V volt(15)=0.85000000V
      HDMI_V volt(23)=5.10000000V
     EXT5V_V volt(24)=5.09000000V
      BATT_V volt(25)=0.00000000V
"""
PMIC_WATTS = 0.09 * 3.7 + 0.08 * 3.3 + 0.2 * 1.1 + 2.0 * 0.85 + 0.02 * 5.1


@dataclass
class World:
    """A clock that moves only when somebody sleeps or works, and the watts drawn meanwhile. Stands in for `Clock`."""

    idle: float = 2.0
    load: float = 5.0
    time: float = 100.0
    joules: float = 1000.0
    due: list[tuple[float, int, float, Callable[[], object]]] = field(default_factory=list)
    power: float = 0.0

    def __post_init__(self) -> None:
        self.power = self.idle

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        """Rest; what is due meanwhile is done."""
        self._pass(seconds, self.idle)

    def work(self, seconds: float, watts: float | None = None) -> Callable[[], None]:
        """A call that takes that long, and that power."""
        return lambda: self._pass(seconds, self.load if watts is None else watts)

    @contextmanager
    def every(self, seconds: float, action: Callable[[], object]) -> Iterator[None]:
        entry = (self.time, id(action), seconds, action)
        heapq.heappush(self.due, entry)
        yield
        self.due = [other for other in self.due if other[3] is not action]
        heapq.heapify(self.due)

    def _pass(self, seconds: float, watts: float) -> None:
        end, self.power = self.time + seconds, watts
        while self.due and self.due[0][0] <= end:
            at, key, period, action = heapq.heappop(self.due)
            self._move(max(at, self.time))
            action()
            heapq.heappush(self.due, (at + period, key, period, action))
        self._move(end)

    def _move(self, to: float) -> None:
        self.joules += (to - self.time) * self.power
        self.time = to


class Watts(Sensor):
    """A power sensor in the world: exact, or what ``says`` makes of time and watts (None: no answer)."""

    kind = name = "watts"
    source = "a test's power sensor"
    counts = False
    rails = (Rail("all"),)

    def __init__(self, world: World, interval: float = 0.1, says: Callable[[float, float], float | None] | None = None):
        self.world, self.says = world, says or (lambda time, watts: watts)
        self.resolution = Resolution(0.01, interval)

    def readings(self) -> tuple[float, ...]:
        value = self.says(self.world.time, self.world.power)
        if value is None:
            raise SensorError("the wire is off")
        return (value,)


class Joules(Sensor):
    """A counter in the world, updated every ``interval`` seconds, which wraps at ``span`` joules or never."""

    kind = name = "joules"
    source = "a test's counter"
    counts = True
    rails = (Rail("all"),)

    def __init__(self, world: World, interval: float = 1e-3, span: float | None = None) -> None:
        self.world, self.span = world, span
        self.resolution = Resolution(1e-6, interval)
        self.shift = 0.0
        self._shown, self._shown_at = world.joules, world.time

    def open(self) -> None:
        self.odometer = Odometer(self.span)

    def readings(self) -> tuple[float, ...]:
        if self.world.time - self._shown_at >= self.resolution.interval or self.resolution.interval <= 0.02:
            self._shown, self._shown_at = self.world.joules, self.world.time
        value = self._shown - self.shift
        return (self.odometer.update(value % self.span if self.span else value),)
