"""How much memory of NVIDIA GPUs is in use, by all programs together, as the driver's NVML counts it."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, byref, c_int, c_ulonglong, c_void_p

from edge_runtime.energy import nvml
from edge_runtime.energy.tree import ROOT
from edge_runtime.errors import SensorError


class _Memory(Structure):
    """nvmlMemory_t, in bytes. https://docs.nvidia.com/deploy/nvml-api/"""

    _fields_ = (("total", c_ulonglong), ("free", c_ulonglong), ("used", c_ulonglong))


class _Library(nvml.Library):
    def used(self, device: c_void_p) -> int:
        function = self._library.nvmlDeviceGetMemoryInfo
        function.argtypes, function.restype = (c_void_p, POINTER(_Memory)), c_int
        found = _Memory()
        self.call("nvmlDeviceGetMemoryInfo", device, byref(found))
        return int(found.used)


def used() -> int | None:
    """Bytes in use on all GPUs; None where there is none that NVML knows, or it does not answer."""
    if not nvml.present(ROOT):
        return None
    try:
        library = _Library()
    except SensorError:
        return None
    try:
        return sum(library.used(library.device(index)) for index in range(library.count()))
    except (SensorError, AttributeError, ctypes.ArgumentError):
        return None
    finally:
        library.close()
