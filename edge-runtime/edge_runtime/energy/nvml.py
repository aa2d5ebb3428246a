"""NVIDIA's management library: what a GPU with its memory and board takes. One sensor a GPU.

GPUs from Volta on count energy, in millijoules since the driver was loaded, and update the counter about ten times a
second. Older ones tell only watts, which most newer drivers average over a second. A Jetson's library knows neither:
its rails are read by ``ina3221``. The library comes with the driver and is called by ctypes: no package is needed.

https://docs.nvidia.com/deploy/nvml-api/

*Not run on a GPU yet*: its tests run against a library that pretends to be NVIDIA's.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from ctypes import POINTER, byref, c_char_p, c_int, c_uint, c_ulonglong, c_void_p
from pathlib import Path
from typing import Any

from edge_runtime.energy import tree
from edge_runtime.energy.base import Odometer, Rail, Resolution, Sensor
from edge_runtime.errors import SensorError

KIND = "nvml"
LIBRARY = "libnvidia-ml.so.1"
FUNCTIONS = {
    "nvmlInit_v2": (),
    "nvmlShutdown": (),
    "nvmlDeviceGetCount_v2": (POINTER(c_uint),),
    "nvmlDeviceGetHandleByIndex_v2": (c_uint, POINTER(c_void_p)),
    "nvmlDeviceGetName": (c_void_p, c_char_p, c_uint),
    "nvmlDeviceGetTotalEnergyConsumption": (c_void_p, POINTER(c_ulonglong)),
    "nvmlDeviceGetPowerUsage": (c_void_p, POINTER(c_uint)),
}
NAME_BYTES = 96
"""NVML_DEVICE_NAME_V2_BUFFER_SIZE."""
NOT_SUPPORTED = 3
"""NVML_ERROR_NOT_SUPPORTED: this GPU does not know that."""
NO_PERMISSION = 4

COUNTER = Resolution(step=1e-3, interval=0.1)
POWER = Resolution(step=1e-3, interval=0.1, span=1.0)


def present(root: Path) -> bool:
    there = tree.exists(root, "proc/driver/nvidia/gpus/*/information", "dev/nvidiactl")
    return there and "Jetson" not in (tree.board(root) or "")


def find(root: Path) -> Iterator[Sensor]:
    if root != tree.ROOT:
        raise SensorError("a recorded tree has no NVIDIA driver to ask")
    library = Library()
    try:
        for index in range(library.count()):
            yield Nvml(index)
    finally:
        library.close()


class Library:
    """The library, initialized. Raises SensorError where there is none, or no driver that works."""

    def __init__(self) -> None:
        try:
            self._library: Any = ctypes.CDLL(LIBRARY)
            for name, arguments in FUNCTIONS.items():
                function = getattr(self._library, name)
                function.argtypes, function.restype = arguments, c_int
            self._library.nvmlErrorString.argtypes, self._library.nvmlErrorString.restype = (c_int,), c_char_p
        except (OSError, AttributeError) as error:
            raise SensorError(f"NVIDIA's {LIBRARY} cannot be loaded: {error}; it comes with the driver") from None
        self.call("nvmlInit_v2")

    def count(self) -> int:
        number = c_uint()
        self.call("nvmlDeviceGetCount_v2", byref(number))
        return number.value

    def device(self, index: int) -> c_void_p:
        handle = c_void_p()
        self.call("nvmlDeviceGetHandleByIndex_v2", index, byref(handle))
        return handle

    def name(self, device: c_void_p) -> str:
        text = ctypes.create_string_buffer(NAME_BYTES)
        self.call("nvmlDeviceGetName", device, text, len(text))
        return text.value.decode(errors="replace")

    def energy(self, device: c_void_p) -> float | None:
        """Joules since the driver was loaded, or None on a GPU that does not count them."""
        millijoules = c_ulonglong()
        known = self.call("nvmlDeviceGetTotalEnergyConsumption", device, byref(millijoules), maybe=True)
        return millijoules.value * 1e-3 if known else None

    def power(self, device: c_void_p) -> float | None:
        """Watts, or None on a GPU that does not measure them."""
        milliwatts = c_uint()
        known = self.call("nvmlDeviceGetPowerUsage", device, byref(milliwatts), maybe=True)
        return milliwatts.value * 1e-3 if known else None

    def call(self, function: str, *arguments: Any, maybe: bool = False) -> bool:
        """Whether the GPU knows what is asked; only with ``maybe`` may it not. Raises SensorError."""
        code = getattr(self._library, function)(*arguments)
        if code == NOT_SUPPORTED and maybe:
            return False
        if code:
            words = (self._library.nvmlErrorString(code) or b"unknown error").decode(errors="replace")
            advice = "; run as root" if code == NO_PERMISSION else ""
            raise SensorError(f"NVML: {function}: {words} (error {code}){advice}")
        return True

    def close(self) -> None:
        if self._library is not None:
            self._library.nvmlShutdown()
            self._library = None


class Nvml(Sensor):
    """One GPU by its number in NVML's order, which is that of PCI addresses."""

    kind = KIND

    def __init__(self, index: int) -> None:
        self.name = f"{KIND}:{index}"
        self._index = index
        self._library: Library | None = None
        with self:
            gpu = self._library.name(self._device)
            self.counts = self._library.energy(self._device) is not None
        self.rails = (Rail(gpu),)
        self.resolution = COUNTER if self.counts else POWER
        what = "energy counter" if self.counts else "power, averaged by the driver over up to a second"
        self.source = f"NVML {what}: {gpu} with its memory and board; without processor and the rest of the machine"

    def open(self) -> None:
        self._library = Library()
        self._device = self._library.device(self._index)
        self._odometer = Odometer()

    def close(self) -> None:
        if self._library is not None:
            self._library.close()
            self._library = None

    def readings(self) -> tuple[float, ...]:
        if self._library is None:
            raise SensorError(f"{self.name} is not open")
        value = self._library.energy(self._device) if self.counts else self._library.power(self._device)
        if value is None:
            raise SensorError(f"{self.name}: this GPU tells NVML neither its energy nor its power")
        return (self._odometer.update(value) if self.counts else value,)
