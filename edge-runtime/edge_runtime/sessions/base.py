"""What every session has in common: a loaded model, its inputs and outputs, and clear words when it refuses arrays.

The path of a call is bare: an engine checks its inputs itself, so a session looks at them only after a refusal, to say
in words what was wrong.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import ClassVar, NoReturn

import numpy as np

from edge_runtime.errors import InputError, SessionError
from edge_runtime.sessions.layers import LayerTime


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model.

    ``dtype`` is numpy's name (``"uint8"``). In ``shape`` a dynamic axis is its name, or None when it has none.
    """

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]

    def accepts(self, array: np.ndarray) -> bool:
        """Whether an array has this dtype, this rank, and these sizes wherever they are fixed."""
        return (
            array.dtype.name == self.dtype
            and array.ndim == len(self.shape)
            and all(size == axis for size, axis in zip(array.shape, self.shape, strict=True) if isinstance(axis, int))
        )

    def __str__(self) -> str:
        sizes = ", ".join("?" if axis is None else str(axis) for axis in self.shape)
        return f"{self.name!r}: {self.dtype} of shape ({sizes})"


class Session(ABC):
    """A model loaded on a runtime. Safe to call from several threads; the arrays it returns are the caller's to keep.

    A subclass states the class variables, loads the model in ``__init__``, calls ``_describe`` there, hands whatever
    its engine raises during a call to ``_refused``, and lets go of the engine in ``close``.
    """

    runtime: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    """File suffixes this runtime reads; the first is the one it is chosen for when no runtime is named."""
    engine: ClassVar[str | None] = None
    """The module that opening a first model imports; None where importing the class itself brings it."""

    profiler: ClassVar[str | None] = None
    """What ``layers`` tells, in words: whose times, which statistic, how fine. None: this runtime has no profiler."""

    version: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def __init__(self, path: Path, threads: int) -> None:
        self.path = path
        self.threads = threads
        self._closed = False

    @abstractmethod
    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """All outputs by name. Raises InputError when the arrays do not fit, SessionError when the engine fails."""

    @abstractmethod
    def predict(self, array: np.ndarray) -> np.ndarray:
        """The output of a model that has one input and one output. Raises as ``run`` does."""

    def layers(self, call: Callable[[], object], warm_up: int, calls: int) -> list[LayerTime]:
        """Time the layers, in the order they run, over ``calls`` calls of ``call`` after ``warm_up`` further ones.

        ``call`` makes one inference on this session, which ``open_session(..., profile=True)`` has opened and nobody
        has called yet. Once per session.
        """
        raise SessionError(f"{self.path}: {self.runtime} tells no times of layers")

    @classmethod
    def product(cls, folder: Path, precision: str) -> tuple[Path, int] | None:
        """Write the file of one large convolution into ``folder``, to see how fast this runtime can multiply.

        ``precision``: "float32" or "int8". Returns the file and its multiply-accumulates; None: this runtime cannot
        show a rate of the CPU's.
        """
        return None

    def close(self) -> None:
        """Let go of the model; calling it twice does no harm."""
        self._closed = True

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path.name}, {self.runtime} {self.version}, {self.threads} thread(s)>"

    def _describe(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
        self.inputs, self.outputs = inputs, outputs
        # None is a name no model has: `predict` on a model with several inputs or outputs is refused without a check.
        self._input = inputs[0].name if len(inputs) == len(outputs) == 1 else None

    def _refused(self, inputs: Mapping[str | None, np.ndarray], error: Exception) -> NoReturn:
        """Turn what an engine raised into what the caller did wrong, if they did."""
        if self._closed:
            raise SessionError(f"{self.path.name}: this session is closed; open the model again") from None
        problem = self._problem(inputs)
        if problem:
            raise InputError(f"{self.path.name}: {problem}") from error
        raise SessionError(f"{self.path.name}: {self.runtime} {self.version} could not run it: {error}") from error

    def _problem(self, inputs: Mapping[str | None, np.ndarray]) -> str | None:
        """What is wrong with the arrays of a call, in words, or None."""
        takes = "; ".join(map(str, self.inputs))
        if not isinstance(inputs, Mapping):
            return f"run takes a dictionary of arrays by name, not {type(inputs).__name__}. Inputs are {takes}"
        if None in inputs:
            return (
                f"predict needs one input and one output, and this model has {len(self.inputs)} and "
                f"{len(self.outputs)}; use run. Inputs are {takes}"
            )
        if set(inputs) != {spec.name for spec in self.inputs}:
            return f"got inputs named {', '.join(map(repr, inputs)) or '(none)'}. Inputs are {takes}"
        for spec in self.inputs:
            array = inputs[spec.name]
            if not isinstance(array, np.ndarray):
                return f"input {spec}, got {type(array).__name__} instead of a numpy array"
            if not spec.accepts(array):
                return f"input {spec}, got {array.dtype} of shape {array.shape}"
        return None


class OneAtATime(Session):
    """A session of an engine that cannot be called twice at once: calls from several threads wait for each other.

    A subclass says in ``_compute`` how the engine answers; nobody else calls the engine meanwhile.
    """

    def __init__(self, path: Path, threads: int) -> None:
        super().__init__(path, threads)
        self._lock = Lock()

    @abstractmethod
    def _compute(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """All outputs by name, of as many inputs as the model has. Raises whatever the engine raises."""

    def _answer(self, array: np.ndarray) -> np.ndarray:
        """``_compute`` for one input and one output, where an engine has a shorter way."""
        return self._compute({self._input: array})[self.outputs[0].name]

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        try:
            if len(inputs) != len(self.inputs):
                raise ValueError("an input left out would silently be the last call's")
            with self._lock:
                return self._compute(inputs)
        except Exception as error:
            self._refused(inputs, error)

    def predict(self, array: np.ndarray) -> np.ndarray:
        try:
            if self._input is None:
                raise ValueError("several inputs or outputs")
            with self._lock:
                return self._answer(array)
        except Exception as error:
            self._refused({self._input: array}, error)
