"""OpenVINO on the CPU. https://docs.openvino.ai/2026/openvino-workflow/running-inference.html"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import fspath
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import ModelFileError, SessionError
from edge_runtime.sessions import product_onnx
from edge_runtime.sessions.base import OneAtATime, TensorSpec
from edge_runtime.sessions.layers import LayerTime
from edge_runtime.sessions.openvino_core import core
from edge_runtime.sessions.openvino_counts import GROUPS, TIMES, layer_times, medians, read_counts
from edge_runtime.sessions.registry import import_engine


class OpenVinoSession(OneAtATime):
    """One infer request with memory of its own.

    Its precision is stated as f32: left to itself OpenVINO computes a float model in bf16 or f16 where the CPU can.
    """

    runtime = "openvino"
    suffixes = (".xml", ".onnx")
    engine = "openvino"

    profiler = TIMES

    def __init__(self, path: Path, threads: int, *, optimize: bool = True, profile: bool = False) -> None:
        if not optimize:
            raise SessionError(f"{path}: openvino cannot run a graph without optimising it; use onnxruntime for that")
        if path.suffix == ".xml" and not path.with_suffix(".bin").is_file():
            raise ModelFileError(f"{path}: its weights {path.with_suffix('.bin').name} are not beside it; copy both")
        super().__init__(path, threads)
        self._engine = import_engine("openvino")
        self.version = self._engine.__version__.split("-")[0]
        self._settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": "f32",
            "CACHE_DIR": "",
            "PERF_COUNT": profile,
        }
        self._compile()
        self._describe(
            tuple(_spec(port, f"input_{index}") for index, port in enumerate(self._compiled.inputs)),
            tuple(_spec(port, f"output_{index}") for index, port in enumerate(self._compiled.outputs)),
        )
        self._positions = {spec.name: index for index, spec in enumerate(self.inputs)}
        self._elements = [port.element_type for port in self._compiled.inputs]
        self._tensor = self._engine.Tensor

    def _compile(self) -> None:
        try:
            model = core().compile_model(fspath(self.path), "CPU", self._settings)
        except Exception as error:  # RuntimeError, or whatever a front end lets through
            raise ModelFileError(f"{self.path}: openvino {self.version} cannot load this model: {error}") from error
        self._compiled: Any = model
        self._request: Any = model.create_infer_request()
        self._buffers: list[np.ndarray | None] = [None] * len(model.inputs)

    def _compute(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        for name, array in inputs.items():
            self._fill(self._positions[name], array)
        self._request.infer(share_outputs=True)
        return {spec.name: self._output(index) for index, spec in enumerate(self.outputs)}

    def _answer(self, array: np.ndarray) -> np.ndarray:
        self._fill(0, array)
        self._request.infer(share_outputs=True)
        return self._output(0)

    def _fill(self, index: int, array: np.ndarray) -> None:
        """Copy an array, of any strides and byte order, into the request's own memory for that input.

        Lending the request the caller's memory instead takes a new tensor every call, to which OpenVINO binds the graph
        anew: 10 us, which is what copying 300 kB takes, and a sixth of a small model's whole call.
        """
        buffer = self._buffers[index]
        if buffer is None or buffer.shape != array.shape:
            tensor = self._tensor(self._elements[index], array.shape)
            self._request.set_input_tensor(index, tensor)
            buffer = self._buffers[index] = tensor.data
        np.copyto(buffer, array, casting="equiv")

    def _output(self, index: int) -> np.ndarray:
        """A copy, because the next call writes into the same memory."""
        return self._request.get_output_tensor(index).data.copy()

    def layers(self, call: Callable[[], object], warm_up: int, calls: int) -> list[LayerTime]:
        groups = min(GROUPS, calls)
        found = []
        for group in range(groups):
            if group:
                self._compile()  # the only way to set the counters back
            found.append(self._counted(call, warm_up, -(-calls // groups)))
        return medians(found)

    def _counted(self, call: Callable[[], object], warm_up: int, calls: int) -> list[LayerTime]:
        for _ in range(warm_up):
            call()
        before = read_counts(self._request, warm_up)
        for _ in range(calls):
            call()
        return layer_times(self._compiled, before, read_counts(self._request, warm_up + calls), calls)

    @classmethod
    def product(cls, folder: Path, precision: str) -> tuple[Path, int] | None:
        return product_onnx.write(folder / f"{precision}.onnx", precision)

    def close(self) -> None:
        super().close()
        self._request = self._compiled = None
        self._buffers = []


def _spec(port: Any, unnamed: str) -> TensorSpec:
    shape = tuple(None if axis.is_dynamic else axis.get_length() for axis in port.partial_shape)
    name = port.get_any_name() if port.names else unnamed
    return TensorSpec(name, port.element_type.to_dtype().name, shape)
