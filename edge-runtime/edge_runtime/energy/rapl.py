"""Intel's and AMD's running average power limit: energy of the processor package, and of memory where it is told.

The kernel shows a tree of zones, each with a counter in microjoules that wraps at ``max_energy_range_uj``:
`intel-rapl:0` is a package, `intel-rapl:0:0` a part of it. The total is packages plus memory: ``core`` and ``uncore``
lie within their package, ``dram`` does not (although its zone hangs below the package's), and ``psys`` contains it all
on some machines and nothing sensible on others. So only packages and ``dram`` count; the others are told beside them.
AMD's processors use the same names and have packages and cores only. The zones `intel-rapl-mmio` are the same counters
seen another way, and are left out.

https://docs.kernel.org/power/powercap/powercap.html
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edge_runtime.energy import tree
from edge_runtime.energy.base import Odometer, Rail, Resolution, Sensor
from edge_runtime.errors import SensorError

KIND = "rapl"
ZONES = "sys/class/powercap/intel-rapl:*"

RESOLUTION = Resolution(step=2**-14, interval=1e-3)
"""61 µJ is the usual unit (15 µJ for memory and on AMD), and about a millisecond passes between two updates: Intel's
manual, volume 3B, chapter 15.10."""

LOCKED = (
    "{path} is readable by root alone: run as root, or allow it until the next start with `sudo chmod a+r "
    "{zones}/intel-rapl:*/energy_uj` (for good: the udev rule in docs/energy.md; every local user then sees the "
    "processor's energy, see CVE-2020-8694)"
)


def present(root: Path) -> bool:
    return tree.exists(root, f"{ZONES}/energy_uj")


def find(root: Path) -> Iterator[Sensor]:
    yield Rapl(sorted(path.parent for path in root.glob(f"{ZONES}/energy_uj")))


class Rapl(Sensor):
    """All packages, and their memory. ``zones``: folders with ``name``, ``energy_uj`` and ``max_energy_range_uj``."""

    kind = name = KIND
    counts = True
    resolution = RESOLUTION

    def __init__(self, zones: list[Path]) -> None:
        named = [(zone, tree.text(zone / "name") or zone.name) for zone in zones]
        counted = [_counts(name) for _, name in named]
        if not any(counted):
            counted = [zone.name.count(":") == 1 for zone, _ in named]
        self.rails = tuple(Rail(_label(zone, name), yes) for (zone, name), yes in zip(named, counted, strict=True))
        self._counters = [zone / "energy_uj" for zone in zones]
        self._spans = [_span(zone) for zone in zones]
        self._odometers: list[Odometer] = []
        total = " + ".join(rail.name for rail in self.rails if rail.counted)
        memory = "" if "dram" in total else "memory, "
        self.source = f"RAPL counter: {total}; without {memory}board, disks, fans and the power supply's losses"

    def open(self) -> None:
        for path in self._counters:
            try:
                path.read_bytes()
            except PermissionError:
                raise SensorError(LOCKED.format(path=path, zones=path.parent.parent)) from None
            except OSError as error:
                raise SensorError(f"{path} cannot be read: {error.strerror or error}") from None
        self._odometers = [Odometer(span) for span in self._spans]
        self.readings()

    def readings(self) -> tuple[float, ...]:
        values = [tree.number(path) * 1e-6 for path in self._counters]
        return tuple(meter.update(value) for meter, value in zip(self._odometers, values, strict=True))


def _counts(name: str) -> bool:
    """Whether a zone of this name is a part of the total."""
    return name.startswith("package") or name.startswith("dram")


def _label(zone: Path, name: str) -> str:
    """A name that is the machine's only one: `core` of the second package is `core-1`."""
    parents = zone.name.split(":")[1:]
    return f"{name}-{parents[0]}" if len(parents) > 1 else name


def _span(zone: Path) -> float | None:
    """Joules at which the zone's counter wraps."""
    span = tree.text(zone / "max_energy_range_uj") or ""
    return int(span) * 1e-6 if span.isdecimal() and int(span) else None
