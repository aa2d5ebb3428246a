"""TensorRT on an NVIDIA GPU. https://docs.nvidia.com/deeplearning/tensorrt

An `.onnx` file is built into an engine here, on the device, when it is first opened, and kept (``engine_cache``). The
network is strongly typed: its Q/DQ pairs say where integers are, and TensorRT chooses no precision by itself. That is
written for TensorRT 10, the last on JetPack 6, and for 11, which knows no other networks.

*Not measured, and not run on a GPU yet*: its tests run against stand-ins for TensorRT and for the driver. Names of
functions are checked against TensorRT for RTX, which has the same interface.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from os import fspath
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from edge_runtime import engine_cache
from edge_runtime.cuda import Cuda
from edge_runtime.errors import ModelFileError, SessionError
from edge_runtime.sessions.base import OneAtATime, TensorSpec
from edge_runtime.sessions.registry import import_engine

LARGEST = 256
"""Largest size of a free axis, which the batch is. Engines are made quickest for a size of 1."""


class TensorRtSession(OneAtATime):
    """One execution context. ``threads`` changes nothing on a GPU."""

    runtime = "tensorrt"
    suffixes = (".engine", ".onnx")
    engine = "tensorrt"

    def __init__(self, path: Path, threads: int, *, optimize: bool = True) -> None:
        if not optimize:
            raise SessionError(f"{path}: tensorrt cannot run a graph without optimising it; use onnxruntime for that")
        super().__init__(path, threads)
        engine = import_engine("tensorrt")
        self.version = engine.__version__
        self._cuda = Cuda()
        self._memory: dict[str, tuple[int, int]] = {}
        self._context: Any = None
        try:
            self._log = _log(engine)
            self._runtime: Any = engine.Runtime(self._log)
            self._engine: Any = self._load(engine)
            self._describe(*_specs(engine, self._engine))
            self._context = self._engine.create_execution_context()
            if self._context is None:
                raise ModelFileError(f"{path}: tensorrt {self.version} cannot run this engine: {self._log.words}")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        super().close()
        with self._lock:
            self._context = self._engine = self._runtime = None  # in this order: each needs the next
            for address, _ in self._memory.values():
                self._cuda.free(address)
            self._memory = {}
            self._cuda.close()

    def _compute(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        cuda, context = self._cuda, self._context
        cuda.use()
        sent = []  # arrays live until the copies are done
        for spec in self.inputs:
            array = inputs[spec.name]
            if not spec.accepts(array):
                raise ValueError("the engine would read past its end")
            array = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
            if not context.set_input_shape(spec.name, array.shape):
                raise ValueError(f"the engine is not made for this shape: {self._log.words}")
            context.set_tensor_address(spec.name, self._reserve(spec.name, array.nbytes))
            cuda.upload(array, self._memory[spec.name][0])
            sent.append(array)
        found = {}
        for spec in self.outputs:
            found[spec.name] = np.empty(tuple(context.get_tensor_shape(spec.name)), spec.dtype)
            context.set_tensor_address(spec.name, self._reserve(spec.name, found[spec.name].nbytes))
        if not context.execute_async_v3(cuda.stream):
            cuda.wait()
            raise SessionError(self._log.words)
        for name, array in found.items():
            cuda.download(self._memory[name][0], array)
        cuda.wait()
        return found

    def _problem(self, inputs: Mapping[str | None, np.ndarray]) -> str | None:
        return super()._problem(inputs) or next(
            (
                f"input {spec}, where free axes may be 1 to {LARGEST}, got shape {inputs[spec.name].shape}"
                for spec in self.inputs
                for size, axis in zip(inputs[spec.name].shape, spec.shape, strict=True)
                if not isinstance(axis, int) and not 1 <= size <= LARGEST
            ),
            None,
        )

    def _reserve(self, name: str, size: int) -> int:
        """The address of at least ``size`` bytes for that tensor."""
        address, reserved = self._memory.get(name, (0, 0))
        if reserved < size:
            if reserved:
                self._cuda.wait()
                del self._memory[name]
                self._cuda.free(address)
            address = self._cuda.allocate(size)
            self._memory[name] = address, size
        return address

    def _load(self, engine: ModuleType) -> Any:
        """The engine in the file, or made of it: now, or some time before."""
        if self.path.suffix == ".engine":
            if found := self._runtime.deserialize_cuda_engine(self.path.read_bytes()):
                return found
            raise ModelFileError(
                f"{self.path}: tensorrt {self.version} cannot load this engine; engines fit the GPU and the TensorRT "
                f"they were built for ({self._log.words})"
            )
        made_for = {"gpu": self._cuda.name, "capability": self._cuda.capability, "tensorrt": self.version}
        place = engine_cache.place(self.path, largest=str(LARGEST), **made_for)
        kept = engine_cache.read(place)
        if kept and (found := self._runtime.deserialize_cuda_engine(kept)):
            return found
        self._log.found.clear()  # what it said of the old engine
        built = _build(engine, self._log, self.path)
        try:
            engine_cache.write(place, built)
        except OSError as error:
            warnings.warn(f"the engine of {self.path.name} cannot be kept: {error}", RuntimeWarning, stacklevel=2)
        if found := self._runtime.deserialize_cuda_engine(built):
            return found
        raise ModelFileError(f"{self.path}: tensorrt {self.version} cannot load its own engine: {self._log.words}")


def _build(engine: ModuleType, log: Any, path: Path) -> bytes:
    builder = engine.Builder(log)
    # TensorRT 11 may drop the flag some day: all its networks are strongly typed.
    flag = getattr(engine.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if flag is None else 1 << int(flag))
    parser = engine.OnnxParser(network, log)
    if not parser.parse_from_file(fspath(path.absolute())):
        errors = [parser.get_error(index).desc() for index in range(parser.num_errors)]
        raise ModelFileError(
            f"{path}: tensorrt {engine.__version__} cannot load this model: {'; '.join(errors) or log.words}"
        )
    configuration, profile = builder.create_builder_config(), builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        sizes = ([free if size < 0 else size for size in tensor.shape] for free in (1, 1, LARGEST))
        profile.set_shape(tensor.name, *map(tuple, sizes))
    configuration.add_optimization_profile(profile)
    built = builder.build_serialized_network(network, configuration)
    if built is None:
        raise ModelFileError(f"{path}: tensorrt {engine.__version__} cannot build an engine of it: {log.words}")
    return bytes(built)


def _specs(engine: ModuleType, built: Any) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    names = [built.get_tensor_name(index) for index in range(built.num_io_tensors)]
    groups: dict[Any, list[TensorSpec]] = {engine.TensorIOMode.INPUT: [], engine.TensorIOMode.OUTPUT: []}
    for name in names:
        shape = tuple(None if size < 0 else size for size in built.get_tensor_shape(name))
        dtype = np.dtype(engine.nptype(built.get_tensor_dtype(name))).name
        groups[built.get_tensor_mode(name)].append(TensorSpec(name, dtype, shape))
    return tuple(groups[engine.TensorIOMode.INPUT]), tuple(groups[engine.TensorIOMode.OUTPUT])


def _log(engine: ModuleType) -> Any:
    """Keeps TensorRT's errors, to be told as ours, and keeps the rest quiet."""

    class Log(engine.ILogger):
        def __init__(self) -> None:
            super().__init__()
            self.found: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (engine.ILogger.Severity.INTERNAL_ERROR, engine.ILogger.Severity.ERROR):
                self.found.append(" ".join(message.split()))

        @property
        def words(self) -> str:
            return "; ".join(self.found[-3:]) or "it gave no reason"

    return Log()
