"""What NVML tells of the GPU that PyTorch runs on: its number, temperature, clocks. None where it does not.

``edge_runtime.energy.nvml`` loads the library and reads energy; this asks the same library for more.

https://docs.nvidia.com/deploy/nvml-api/
"""

from __future__ import annotations

from ctypes import byref, c_uint, c_ulonglong, c_void_p, create_string_buffer
from typing import Any

from edge_runtime.energy import nvml
from edge_runtime.errors import SensorError

TEMPERATURE_GPU = 0
CLOCK_SM, CLOCK_MEMORY = 1, 2
VERSION_BYTES = 80

REASONS = {
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x20: "heat (software)",
    0x40: "heat (hardware)",
    0x80: "power brake",
}
"""Bits of nvmlDeviceGetCurrentClocksThrottleReasons that are trouble; others (idle, settings) are not."""


class Gpu:
    """One GPU. ``index``: its number in NVML's order, which ``CUDA_VISIBLE_DEVICES`` does not change."""

    def __init__(self, uuid: str) -> None:
        self._nvml = nvml.Library()
        self._device = c_void_p()
        if uuid:
            name = uuid if uuid.startswith("GPU-") else f"GPU-{uuid}"
            self._nvml.call("nvmlDeviceGetHandleByUUID", name.encode(), byref(self._device))
        else:
            self._device = self._nvml.device(0)
        self.index = self._number("nvmlDeviceGetIndex", c_uint())
        text = create_string_buffer(VERSION_BYTES)
        self._nvml.call("nvmlSystemGetDriverVersion", text, VERSION_BYTES)
        self.driver = text.value.decode(errors="replace")

    def conditions(self) -> dict[str, Any]:
        """Degrees Celsius, Hz, watts; None for what cannot be read."""
        reasons = self._number("nvmlDeviceGetCurrentClocksThrottleReasons", c_ulonglong())
        clocks = [self._number("nvmlDeviceGetClockInfo", c_uint(), kind) for kind in (CLOCK_SM, CLOCK_MEMORY)]
        power = self._number("nvmlDeviceGetPowerUsage", c_uint())
        sm, memory = (None if clock is None else clock * 1e6 for clock in clocks)
        return {
            "temperature": self._number("nvmlDeviceGetTemperature", c_uint(), TEMPERATURE_GPU),
            "frequency": sm,
            "memory_frequency": memory,
            "power": None if power is None else power * 1e-3,
            "held_down_by": None if reasons is None else [word for bit, word in REASONS.items() if reasons & bit],
        }

    def _number(self, function: str, found: Any, *arguments: int) -> int | None:
        return found.value if self._known(function, *arguments, byref(found)) else None

    def _known(self, function: str, *arguments: Any) -> bool:
        """Whether the GPU has answered; it may not know that, or not tell everybody."""
        try:
            return self._nvml.call(function, self._device, *arguments, maybe=True)
        except SensorError:
            return False


def find(uuid: str) -> Gpu | None:
    """The GPU of that UUID, or the first one where PyTorch is too old to tell; None without NVML."""
    try:
        return Gpu(uuid)
    except (SensorError, AttributeError):
        return None
