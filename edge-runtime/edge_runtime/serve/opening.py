"""Opening a model that is to serve: whatever goes wrong with it is an error that a server knows what to do about."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from edge_runtime.errors import EdgeRuntimeError, ModelUnfitError
from edge_runtime.serve.batcher import Arrays
from edge_runtime.serve.fitness import examine
from edge_runtime.serve.protocol import Signature
from edge_runtime.serve.witness import known_inputs


def open_and_try(opener: Callable[[], Any], batch: int) -> tuple[Any, Signature, int, Arrays]:
    """The model, its signature, the samples of an inference, and known inputs. Raises EdgeRuntimeError only."""
    model = None
    try:
        model = opener()
        return model, *examine(model, batch), known_inputs(model)
    except Exception as error:
        if model is not None:
            with suppress(Exception):  # it is broken; why is known
                model.close()
        if isinstance(error, EdgeRuntimeError):
            raise
        what = "the model" if model is None else f"{model.session!r}"
        raise ModelUnfitError(f"{what}: it cannot be tried before it serves: {error!r}; install another") from error
