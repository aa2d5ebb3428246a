"""Which power sensors there are. Only their names: reading one is the energy probe's, and none is an answer too.

``root`` is the root of the file system, or of a recorded one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

ROOT = Path("/")


def detect(root: Path = ROOT) -> tuple[str, ...]:
    """Names of the sensors present, readable by this user or not (RAPL often is root's alone)."""
    return tuple(name for name, there in SENSORS.items() if there(root))


def _rapl(root: Path) -> bool:
    """Cumulative processor energy. https://docs.kernel.org/power/powercap/powercap.html"""
    return _any(root, "sys/class/powercap/intel-rapl:*/energy_uj")


def _hwmon(root: Path) -> bool:
    """Anything that reports watts to the kernel. https://docs.kernel.org/hwmon/sysfs-interface.html"""
    return _any(root, "sys/class/hwmon/hwmon*/power*_input", "sys/class/hwmon/hwmon*/power*_average")


def _ina3221(root: Path) -> bool:
    """The rails of a Jetson: volts and amperes through hwmon, milliwatts through iio up to JetPack 4."""
    return _any(
        root,
        "sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*/curr*_input",
        "sys/bus/i2c/drivers/ina3221x/*/iio:device*/in_power*_input",
    )


def _pi5_pmic(root: Path) -> bool:
    """The power chip of the Raspberry Pi 5 family, read through vcgencmd; earlier boards measure no current."""
    model = board(root) or ""
    return model.startswith(PI5) and _any(root, "usr/bin/vcgencmd")


def _nvml(root: Path) -> bool:
    """NVIDIA's management library, which knows no energy on a Jetson."""
    return _any(root, "proc/driver/nvidia/gpus/*/information") and "Jetson" not in (board(root) or "")


PI5 = ("Raspberry Pi 5", "Raspberry Pi Compute Module 5")
SENSORS: dict[str, Callable[[Path], bool]] = {
    "rapl": _rapl,
    "hwmon": _hwmon,
    "ina3221": _ina3221,
    "pi5-pmic": _pi5_pmic,
    "nvml": _nvml,
}


def board(root: Path = ROOT) -> str | None:
    """Model of the board, as the device tree names it, or None on a machine without one."""
    try:
        return (root / "proc/device-tree/model").read_text(errors="replace").strip("\0\n ") or None
    except OSError:
        return None


def _any(root: Path, *patterns: str) -> bool:
    return any(True for pattern in patterns for _ in root.glob(pattern))
