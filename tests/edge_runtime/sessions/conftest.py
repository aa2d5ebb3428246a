"""Stand-ins for TensorRT and for NVIDIA's driver."""

from __future__ import annotations

import ctypes
import sys
from enum import IntEnum
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edge_runtime import cuda


class Driver:
    """Device memory is ours; an address is a number from 1 up."""

    def __init__(self, name: bytes = b"Orin", devices: int = 1) -> None:
        self.memory: dict[int, bytearray] = {}
        self.name, self.next, self.contexts, self.queue = name, 1, 0, []

        def function(work):
            def call(*arguments):
                return work(*arguments) or 0

            return call

        def write(target, value):
            target._obj.value = value

        def get_name(text, size, device):
            text.value = name

        def allocate(address, size):
            self.memory[self.next] = bytearray(size)
            write(address, self.next)
            self.next += 1

        def upload(address, source, size, stream):
            self.queue.append(lambda: self.memory[address].__setitem__(slice(size), ctypes.string_at(source, size)))

        def download(target, address, size, stream):
            self.queue.append(lambda: ctypes.memmove(target, bytes(self.memory[address][:size]), size))

        def synchronize(stream):
            while self.queue:
                self.queue.pop(0)()

        def retain(context, device):
            self.contexts += 1
            write(context, 7)

        def release(device):
            self.contexts -= 1

        work = {
            "cuInit": lambda flags: None if devices else 100,
            "cuDeviceGet": lambda number, device: write(number, device),
            "cuDeviceGetName": get_name,
            "cuDeviceGetAttribute": lambda value, which, device: write(value, {75: 8, 76: 7}[which]),
            "cuDevicePrimaryCtxRetain": retain,
            "cuDevicePrimaryCtxRelease_v2": release,
            "cuCtxSetCurrent": lambda context: None,
            "cuStreamCreate": lambda stream, flags: write(stream, 9),
            "cuStreamSynchronize": synchronize,
            "cuStreamDestroy_v2": lambda stream: None,
            "cuMemAlloc_v2": allocate,
            "cuMemFree_v2": lambda address: self.memory.pop(address) and None,
            "cuMemcpyHtoDAsync_v2": upload,
            "cuMemcpyDtoHAsync_v2": download,
            "cuGetErrorString": lambda code, words: write(words, b"no CUDA-capable device is detected"),
        }
        for name_, call in work.items():
            setattr(self, name_, function(call))


class Doubling:
    """A TensorRT whose every engine doubles its input, uint8 (batch, 3, 4), as floats."""

    class ILogger:
        Severity = IntEnum("Severity", ["INTERNAL_ERROR", "ERROR", "WARNING"])

    TensorIOMode = IntEnum("TensorIOMode", ["INPUT", "OUTPUT"])

    def __init__(self, driver: Driver, version: str = "10.3.0", typed: bool = True) -> None:
        self.__version__, self.driver, self.built, self.flags = version, driver, 0, []
        self.NetworkDefinitionCreationFlag = SimpleNamespace(**{"STRONGLY_TYPED": 1} if typed else {})
        self.OnnxParser = lambda network, log: SimpleNamespace(
            parse_from_file=lambda path: b"bad" not in Path(path).read_bytes(),
            num_errors=1,
            get_error=lambda index: SimpleNamespace(desc=lambda: "no importer for Frobnicate"),
        )

    def nptype(self, dtype):
        return dtype

    def Builder(self, log):
        def build(network, configuration):
            self.built += 1
            return b"engine"

        def create_network(flags):
            self.flags.append(flags)
            return SimpleNamespace(num_inputs=1, get_input=lambda i: SimpleNamespace(name="input", shape=(-1, 3, 4)))

        return SimpleNamespace(
            create_network=create_network,
            create_builder_config=lambda: SimpleNamespace(add_optimization_profile=lambda profile: None),
            create_optimization_profile=lambda: SimpleNamespace(set_shape=lambda name, *sizes: None),
            build_serialized_network=build,
        )

    def Runtime(self, log):
        def load(data):
            if data != b"engine":
                log.log(log.Severity.ERROR, "serialization assertion failed")
                return None
            return SimpleNamespace(
                num_io_tensors=2,
                get_tensor_name=("input", "logits").__getitem__,
                get_tensor_mode={"input": self.TensorIOMode.INPUT, "logits": self.TensorIOMode.OUTPUT}.get,
                get_tensor_shape=lambda name: (-1, 3, 4),
                get_tensor_dtype={"input": np.uint8, "logits": np.float32}.get,
                create_execution_context=lambda: Context(self.driver),
            )

        return SimpleNamespace(deserialize_cuda_engine=load)


class Context:
    def __init__(self, driver: Driver) -> None:
        self.driver, self.addresses, self.shape = driver, {}, None

    def set_input_shape(self, name, shape):
        self.shape = shape
        return shape[0] <= 256

    def get_tensor_shape(self, name):
        return self.shape

    def set_tensor_address(self, name, address):
        self.addresses[name] = address

    def execute_async_v3(self, stream):
        def work():
            memory, count = self.driver.memory, int(np.prod(self.shape))
            values = np.frombuffer(memory[self.addresses["input"]], np.uint8, count)
            memory[self.addresses["logits"]][: 4 * count] = (values * np.float32(2)).tobytes()

        self.driver.queue.append(work)
        return True


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Installs the stand-ins: `place(name, version)`."""
    monkeypatch.setenv("EDGE_RUNTIME_CACHE", str(tmp_path / "cache"))

    def install(name: bytes = b"Orin", version: str = "10.3.0", typed: bool = True, devices: int = 1):
        driver = Driver(name, devices)
        library = Doubling(driver, version, typed)
        monkeypatch.setattr(cuda.ctypes, "CDLL", lambda path: driver)
        monkeypatch.setitem(sys.modules, "tensorrt", library)
        return driver, library

    return install
