"""ONNX Runtime on the CPU. https://onnxruntime.ai/docs/api/python/api_summary.html"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from os import fspath
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from edge_runtime.errors import ModelFileError
from edge_runtime.sessions import product_onnx
from edge_runtime.sessions.base import Session, TensorSpec
from edge_runtime.sessions.layers import LayerTime
from edge_runtime.sessions.onnxruntime_trace import TIMES, read_trace
from edge_runtime.sessions.registry import import_engine

FATAL_ONLY = 4
"""Log severity of ONNX Runtime. Warnings, among them one for every dynamic output shape, stay quiet; so do errors,
which are raised too, and of which a server's clients could have a line written for every request."""

DTYPES = {"float": "float32", "double": "float64", "string": "object"}
"""ONNX element types whose names are not numpy's."""


class OnnxRuntimeSession(Session):
    """A fixed number of threads, one operator after the other. Calls from several threads run at the same time."""

    runtime = "onnxruntime"
    suffixes = (".onnx",)
    engine = "onnxruntime"

    profiler = TIMES

    def __init__(self, path: Path, threads: int, *, optimize: bool = True, profile: bool = False) -> None:
        super().__init__(path, threads)
        engine = import_engine("onnxruntime")
        self.version = engine.__version__
        providers = self._providers(engine)
        options = _options(engine, threads, optimize)
        # The trace is written as the calls are made: into a folder that goes when the session goes.
        self._traces = tempfile.TemporaryDirectory(prefix="profile-") if profile else None
        if self._traces:
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(self._traces.name) / "trace")
        try:
            model = engine.InferenceSession(fspath(path), options, providers=providers)
        except Exception as error:  # the engine's errors share no base class of their own
            self.close()
            raise ModelFileError(f"{path}: onnxruntime {self.version} cannot load this model: {error}") from error
        self._describe(tuple(map(_spec, model.get_inputs())), tuple(map(_spec, model.get_outputs())))
        self._names = [spec.name for spec in self.outputs]
        self._call: Any = model.run
        self._model: Any = model

    def _providers(self, engine: ModuleType) -> list[Any]:
        """What may execute operators, in the order in which they are offered each."""
        return ["CPUExecutionProvider"]

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        try:
            arrays = {name: _native(array) for name, array in inputs.items()}
            return dict(zip(self._names, self._call(self._names, arrays), strict=True))
        except Exception as error:
            self._refused(inputs, error)

    def predict(self, array: np.ndarray) -> np.ndarray:
        try:
            return self._call(self._names, {self._input: _native(array)})[0]
        except Exception as error:
            self._refused({self._input: array}, error)

    def layers(self, call: Callable[[], object], warm_up: int, calls: int) -> list[LayerTime]:
        for _ in range(warm_up + calls):
            call()
        return read_trace(Path(self._model.end_profiling()), calls)

    @classmethod
    def product(cls, folder: Path, precision: str) -> tuple[Path, int] | None:
        return product_onnx.write(folder / f"{precision}.onnx", precision)

    def close(self) -> None:
        super().close()
        self._call = self._model = None
        if self._traces:
            self._traces.cleanup()


def _native(array: np.ndarray) -> np.ndarray:
    """The array in this machine's byte order: ONNX Runtime would misread another one, such as IDX files have."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _options(engine: ModuleType, threads: int, optimize: bool) -> Any:
    options = engine.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = engine.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = FATAL_ONLY
    if not optimize:
        options.graph_optimization_level = engine.GraphOptimizationLevel.ORT_DISABLE_ALL
    # Idle pool threads would go on spinning after a call and take the cores from whatever runs next, which spoils
    # interleaved measurements of other models and wastes a battery.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def _spec(tensor: Any) -> TensorSpec:
    element = tensor.type.removeprefix("tensor(").removesuffix(")")
    return TensorSpec(tensor.name, DTYPES.get(element, element), tuple(tensor.shape))
