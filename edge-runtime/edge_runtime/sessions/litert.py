"""LiteRT, which was TensorFlow Lite, on the CPU. https://ai.google.dev/edge/litert

The engine is `ai-edge-litert`. Its predecessor `tflite-runtime` has the same interface and is not used: it needs
numpy 1, and answers nonsense without an error for files with dynamic int8.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from os import fspath
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import ModelFileError
from edge_runtime.sessions.base import OneAtATime, TensorSpec
from edge_runtime.sessions.registry import import_engine

ENGINE = "ai_edge_litert"


class LiteRtSession(OneAtATime):
    """One interpreter with memory of its own.

    A file tells which axes are free; when such an axis changes, memory is allocated anew, and the next calls of that
    size are quick again. ``optimize=False`` runs LiteRT's reference kernels without XNNPACK.
    """

    runtime = "litert"
    suffixes = (".tflite",)
    engine = f"{ENGINE}.interpreter"

    def __init__(self, path: Path, threads: int, *, optimize: bool = True) -> None:
        super().__init__(path, threads)
        self.version = import_engine(ENGINE).__version__
        engine = importlib.import_module(f"{ENGINE}.interpreter")
        kernels = engine.OpResolverType
        try:
            model = engine.Interpreter(
                fspath(path),
                num_threads=threads,
                experimental_op_resolver_type=kernels.AUTO if optimize else kernels.BUILTIN_REF,
            )
            model.allocate_tensors()
            inputs, outputs = _details(model)
        except (ValueError, RuntimeError) as error:
            raise ModelFileError(f"{path}: litert {self.version} cannot load this model: {error}") from error
        self._describe(_described(inputs), _described(outputs))
        self._inputs = {name: detail["index"] for name, detail in inputs.items()}
        self._outputs = {name: detail["index"] for name, detail in outputs.items()}
        self._specs = {spec.name: spec for spec in self.inputs}
        self._shapes = {name: tuple(detail["shape"].tolist()) for name, detail in inputs.items()}
        self._model: Any = model

    def _compute(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        # Plain loops: a comprehension takes a tenth of a small model's whole call.
        for name, array in inputs.items():
            if array.shape != self._shapes[name]:
                self._resize(inputs)
                break
        for name, array in inputs.items():
            # The engine looks at the type of an element, and not at its byte order.
            native = array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
            self._model.set_tensor(self._inputs[name], native)
        self._model.invoke()
        found = {}
        for name, index in self._outputs.items():
            found[name] = self._model.get_tensor(index)  # a copy
        return found

    def _resize(self, inputs: Mapping[str, np.ndarray]) -> None:
        if not all(self._specs[name].accepts(array) for name, array in inputs.items()):
            raise ValueError("the file does not leave this axis free")
        self._shapes = {}  # should the engine stop half-way, the next call resizes everything
        for name, array in inputs.items():
            self._model.resize_tensor_input(self._inputs[name], array.shape)
        self._model.allocate_tensors()
        self._shapes = {name: array.shape for name, array in inputs.items()}

    def close(self) -> None:
        super().close()
        self._model = None


def _details(model: Any) -> tuple[dict[str, dict], dict[str, dict]]:
    """Inputs and outputs by name: the signature's, and of a file without one the tensors'."""
    signatures = list(model.get_signature_list())
    if signatures:
        runner = model.get_signature_runner(signatures[0])
        # Which gives outputs in the order of their names, not of the file.
        return runner.get_input_details(), runner.get_output_details()
    both = (model.get_input_details(), model.get_output_details())
    return tuple({detail["name"]: detail for detail in details} for details in both)


def _described(details: dict[str, dict]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(
            name,
            np.dtype(detail["dtype"]).name,
            tuple(None if size < 0 else size for size in detail["shape_signature"].tolist()),
        )
        for name, detail in details.items()
    )
