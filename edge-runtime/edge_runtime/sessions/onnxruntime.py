"""ONNX Runtime on the CPU. https://onnxruntime.ai/docs/api/python/api_summary.html"""

from __future__ import annotations

from collections.abc import Mapping
from os import fspath
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from edge_runtime.errors import ModelFileError
from edge_runtime.sessions.base import Session, TensorSpec
from edge_runtime.sessions.registry import import_engine

ERRORS_ONLY = 3
"""Log severity of ONNX Runtime: warnings, among them one for every dynamic output shape, stay quiet."""

DTYPES = {"float": "float32", "double": "float64", "string": "object"}
"""ONNX element types whose names are not numpy's."""


class OnnxRuntimeSession(Session):
    """A fixed number of threads, one operator after the other. Calls from several threads run at the same time."""

    runtime = "onnxruntime"
    suffixes = (".onnx",)

    def __init__(self, path: Path, threads: int, *, optimize: bool = True) -> None:
        super().__init__(path, threads)
        engine = import_engine("onnxruntime")
        self.version = engine.__version__
        try:
            model = engine.InferenceSession(
                fspath(path), _options(engine, threads, optimize), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the engine's errors share no base class of their own
            raise ModelFileError(f"{path}: onnxruntime {self.version} cannot load this model: {error}") from error
        self._describe(tuple(map(_spec, model.get_inputs())), tuple(map(_spec, model.get_outputs())))
        self._names = [spec.name for spec in self.outputs]
        self._call: Any = model.run

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

    def close(self) -> None:
        super().close()
        self._call = None


def _native(array: np.ndarray) -> np.ndarray:
    """The array in this machine's byte order: ONNX Runtime would misread another one, such as IDX files have."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _options(engine: ModuleType, threads: int, optimize: bool) -> Any:
    options = engine.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = engine.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = ERRORS_ONLY
    if not optimize:
        options.graph_optimization_level = engine.GraphOptimizationLevel.ORT_DISABLE_ALL
    # Idle pool threads would go on spinning after a call and take the cores from whatever runs next, which spoils
    # interleaved measurements of other models and wastes a battery.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def _spec(tensor: Any) -> TensorSpec:
    element = tensor.type.removeprefix("tensor(").removesuffix(")")
    return TensorSpec(tensor.name, DTYPES.get(element, element), tuple(tensor.shape))
