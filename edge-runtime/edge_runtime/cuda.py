"""The little of CUDA that a session needs: memory on the GPU, copies, one stream.

It calls the driver's own library, which is there wherever the GPU works, by ctypes: no package has to fit the
CUDA version of the device. https://docs.nvidia.com/cuda/cuda-driver-api

*Not run on a GPU yet*: its tests run against a library that pretends to be the driver.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from typing import Any

import numpy as np

from edge_runtime.errors import EngineMissingError, SessionError

LIBRARY = "libcuda.so.1"
MAJOR, MINOR = 75, 76
"""CUdevice_attribute: the two numbers of the compute capability."""

FUNCTIONS = {
    "cuInit": (c_uint,),
    "cuDeviceGet": (POINTER(c_int), c_int),
    "cuDeviceGetName": (c_char_p, c_int, c_int),
    "cuDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cuDevicePrimaryCtxRetain": (POINTER(c_void_p), c_int),
    "cuDevicePrimaryCtxRelease_v2": (c_int,),
    "cuCtxSetCurrent": (c_void_p,),
    "cuStreamCreate": (POINTER(c_void_p), c_uint),
    "cuStreamSynchronize": (c_void_p,),
    "cuStreamDestroy_v2": (c_void_p,),
    "cuMemAlloc_v2": (POINTER(c_uint64), c_size_t),
    "cuMemFree_v2": (c_uint64,),
    "cuMemcpyHtoDAsync_v2": (c_uint64, c_void_p, c_size_t, c_void_p),
    "cuMemcpyDtoHAsync_v2": (c_void_p, c_uint64, c_size_t, c_void_p),
    "cuGetErrorString": (c_int, POINTER(c_char_p)),
}


class Cuda:
    """One GPU's primary context, which TensorRT uses too, and a stream of our own.

    ``name`` and ``capability`` ("8.7") say what the GPU is. Raises EngineMissingError where no NVIDIA GPU works.
    """

    def __init__(self, device: int = 0, library: str = LIBRARY) -> None:
        try:
            self._driver: Any = ctypes.CDLL(library)
            for name, arguments in FUNCTIONS.items():
                getattr(self._driver, name).argtypes = arguments
        except (OSError, AttributeError) as error:
            raise EngineMissingError(f"no NVIDIA driver on this machine, so no GPU to run on: {error}") from None
        number, context, stream = c_int(), c_void_p(), c_void_p()
        try:
            self._call("cuInit", 0)
            self._call("cuDeviceGet", byref(number), device)
        except SessionError as error:
            raise EngineMissingError(f"the NVIDIA driver finds no GPU {device} that works: {error}") from None
        self._device = number.value
        text = ctypes.create_string_buffer(256)
        self._call("cuDeviceGetName", text, len(text), self._device)
        self.name = text.value.decode()
        self.capability = f"{self._attribute(MAJOR)}.{self._attribute(MINOR)}"
        self._call("cuDevicePrimaryCtxRetain", byref(context), self._device)
        self._context = context
        self.use()
        self._call("cuStreamCreate", byref(stream), 0)
        self.stream: int = stream.value or 0

    def use(self) -> None:
        """Make this GPU's context the calling thread's. Needed once in every thread that calls the rest."""
        self._call("cuCtxSetCurrent", self._context)

    def allocate(self, size: int) -> int:
        """The address of ``size`` bytes on the GPU."""
        address = c_uint64()
        self._call("cuMemAlloc_v2", byref(address), size)
        return address.value

    def free(self, address: int) -> None:
        self._call("cuMemFree_v2", address)

    def upload(self, array: np.ndarray, address: int) -> None:
        """Queue a copy to the GPU. ``array`` is contiguous and lives until ``wait``."""
        self._call("cuMemcpyHtoDAsync_v2", address, array.ctypes.data, array.nbytes, self.stream)

    def download(self, address: int, array: np.ndarray) -> None:
        """Queue a copy from the GPU into ``array``, which holds it after ``wait``."""
        self._call("cuMemcpyDtoHAsync_v2", array.ctypes.data, address, array.nbytes, self.stream)

    def wait(self) -> None:
        """Until all that was queued is done."""
        self._call("cuStreamSynchronize", self.stream)

    def close(self) -> None:
        """Give the stream and the context back; calling it twice does no harm."""
        if self._driver is not None:
            self._call("cuStreamDestroy_v2", self.stream)
            self._call("cuDevicePrimaryCtxRelease_v2", self._device)
            self._driver = None

    def _attribute(self, which: int) -> int:
        value = c_int()
        self._call("cuDeviceGetAttribute", byref(value), which, self._device)
        return value.value

    def _call(self, function: str, *arguments: Any) -> None:
        code = getattr(self._driver, function)(*arguments)
        if code:
            words = c_char_p()
            self._driver.cuGetErrorString(code, byref(words))
            raise SessionError(f"{function}: {(words.value or b'unknown error').decode()} (CUDA error {code})")
