"""What this machine is (`detect`), and how it is doing at this moment (`conditions`).

Both read the kernel's own files under ``root``, the root of the file system or of a recorded one. What cannot be read
is None or absent: a figure is never made up.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from edge_runtime import cpu, throttle
from edge_runtime.energy.find import detect as detect_sensors
from edge_runtime.energy.tree import ROOT, board

ARCHITECTURES = {"AMD64": "x86_64", "amd64": "x86_64", "arm64": "aarch64"}
"""Other systems' names of the architectures."""

JETSONS = {
    "nvidia,tegra264": "NVIDIA Thor (Blackwell)",
    "nvidia,tegra234": "NVIDIA Orin (Ampere)",
    "nvidia,tegra194": "NVIDIA Xavier (Volta)",
    "nvidia,tegra186": "NVIDIA TX2 (Pascal)",
    "nvidia,tegra210": "NVIDIA Tegra X1 (Maxwell)",
}
"""Device-tree name of a Jetson's chip: its built-in GPU."""

CPU_ZONES = ("x86_pkg_temp", "cpu", "soc-thermal", "bigcore", "coretemp", "k10temp")
"""How the thermal zones and sensor chips of processors are called, or begin."""

EMULATED = "EDGE_RUNTIME_EMULATED"
"""Set to 1 in the environment where an emulator shows no sign of itself."""


@dataclass(frozen=True)
class Machine:
    """What a machine is. Everything here stays the same from one measurement to the next; ``asdict`` gives plain JSON.

    ``cores`` are physical; ``features`` are names in ``cpu.FEATURES``; ``memory`` is in bytes; ``model`` is the board's
    name where the device tree has one; ``python`` is the version running this; ``sensors`` can measure power.
    """

    arch: str
    cpu: str
    cores: int
    features: tuple[str, ...]
    memory: int | None
    os: str
    kernel: str
    python: str
    sensors: tuple[str, ...]
    model: str | None
    gpu: tuple[str, ...]


@dataclass(frozen=True)
class Conditions:
    """What may slow a measurement down. None: not readable here.

    ``governor`` joins those of all cores; ``frequency`` (Hz) is the fastest core's as the kernel believes it to be;
    ``temperature`` (degrees Celsius) the hottest processor zone's; ``throttled`` is about this moment;
    ``throttle_count`` counts events since boot, so two readings tell whether there was one between; ``load_average`` is
    over 1, 5 and 15 minutes; ``throttle_flags`` are a Raspberry Pi's, in words, now and since it was started;
    ``under_voltage`` is about this moment; ``power_mode`` is a Jetson's, or the ACPI platform profile.
    """

    governor: str | None
    frequency: float | None
    temperature: float | None
    throttled: bool | None
    throttle_count: int | None
    load_average: tuple[float, float, float] | None
    throttle_flags: tuple[str, ...] | None = None
    under_voltage: bool | None = None
    power_mode: str | None = None


def detect(root: Path = ROOT) -> Machine:
    """What the machine is whose file system is at ``root``."""
    processor = cpu.parse(_read(root / "proc/cpuinfo") or "")
    arch = processor.arch or ARCHITECTURES.get(platform.machine(), platform.machine())
    return Machine(
        arch=arch,
        cpu=processor.name or f"unknown {arch} processor",
        cores=processor.cores or os.cpu_count() or 1,
        features=processor.features,
        memory=_memory(root),
        os=_os(root),
        kernel=_read(root / "proc/sys/kernel/osrelease") or platform.release(),
        python=platform.python_version(),
        sensors=detect_sensors(root),
        model=board(root),
        gpu=_gpu(root),
    )


def conditions(root: Path = ROOT) -> Conditions:
    """How the machine is doing now."""
    scaling = "sys/devices/system/cpu/cpu[0-9]*/cpufreq"
    load = (_read(root / "proc/loadavg") or "").split()[:3]
    counts = _numbers(root, "sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count")
    bits = throttle.bits(root)
    return Conditions(
        governor="+".join(sorted({text for _, text in _texts(root, f"{scaling}/scaling_governor")})) or None,
        frequency=max((kilohertz * 1e3 for kilohertz in _numbers(root, f"{scaling}/scaling_cur_freq")), default=None),
        temperature=_temperature(root),
        throttled=_slowed(root) if bits is None else bool(bits & throttle.NOW),
        throttle_count=sum(map(int, counts)) if counts else None,
        load_average=(float(load[0]), float(load[1]), float(load[2])) if len(load) == 3 else None,
        throttle_flags=None if bits is None else throttle.names(bits),
        under_voltage=throttle.under_voltage(root, bits),
        power_mode=throttle.power_mode(root),
    )


def emulated(root: Path = ROOT) -> bool:
    """Whether a processor is emulated here, so that times say nothing about a real one.

    QEMU names itself in /proc/cpuinfo, or in the device tree of its boards; its emulation of single programs shows the
    host's processor to a program made for another. A virtual machine that runs on its own kind of processor may name
    QEMU too: it is taken for emulated, for its times would not be a board's either.
    """
    if os.environ.get(EMULATED) == "1":
        return True
    about = _read(root / "proc/cpuinfo") or ""
    names = [text for _, text in _texts(root, "proc/device-tree/fw-cfg@*/compatible")]
    names += [about, _read(root / "proc/device-tree/compatible") or "", board(root) or ""]
    if any("qemu" in text.lower() for text in names):
        return True
    foreign = not platform.machine().startswith(("x86", "AMD64", "amd64", "i"))
    return root == ROOT and foreign and cpu.parse(about).arch == "x86_64"


def _memory(root: Path) -> int | None:
    for line in (_read(root / "proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if root == ROOT else None


def _os(root: Path) -> str:
    for line in (_read(root / "etc/os-release") or "").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip("\"'")
    return platform.system()


def _gpu(root: Path) -> tuple[str, ...]:
    cards = [text for _, text in _texts(root, "proc/driver/nvidia/gpus/*/information")]
    lines = [line for text in cards for line in text.splitlines()]
    names = [line.removeprefix("Model:").strip() for line in lines if line.startswith("Model:")]
    chips = (_read(root / "proc/device-tree/compatible") or "").split("\0")
    return tuple(names) or tuple(JETSONS[chip] for chip in chips if chip in JETSONS)


def _temperature(root: Path) -> float | None:
    """The hottest thermal zone of the processor, or where there is none its sensor chip's hottest reading."""
    for folder, label, reading in (("thermal/thermal_zone*", "type", "temp"), ("hwmon/hwmon*", "name", "temp*_input")):
        found = [
            millidegrees / 1e3
            for path, name in _texts(root, f"sys/class/{folder}/{label}")
            if name.lower().startswith(CPU_ZONES)
            for millidegrees in _numbers(path.parent, reading)
        ]
        if found:
            return max(found)
    return None


def _slowed(root: Path) -> bool | None:
    """Whether the kernel is cooling by slowing the processor down."""
    slowed = [
        state > 0
        for path, kind in _texts(root, "sys/class/thermal/cooling_device*/type")
        if "cpufreq" in kind or kind == "Processor"
        for state in _numbers(path.parent, "cur_state")
    ]
    return any(slowed) if slowed else None


def _numbers(root: Path, pattern: str) -> list[float]:
    """Every number in the files of that pattern; a driver at a loss writes words (``<unknown>``)."""
    return [float(text) for _, text in _texts(root, pattern) if text.lstrip("-").isdecimal()]


def _texts(root: Path, pattern: str) -> list[tuple[Path, str]]:
    """Every readable file of that pattern, with its text."""
    found = ((path, _read(path)) for path in sorted(root.glob(pattern)))
    return [(path, text) for path, text in found if text]


def _read(path: Path) -> str | None:
    """A file's text, or None: the kernel's files come and go, and some answer with an error (a sensor asleep)."""
    try:
        return path.read_text(errors="replace").strip("\0\n ")
    except OSError:
        return None
