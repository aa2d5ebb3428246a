"""Before a model serves: is there a name for its types, does it run, and may requests share an inference?

Sharing is sound only when a sample's answer does not depend on its neighbours. A graph that scales its activations by
the whole batch (dynamic quantization) breaks that silently, so it is tried, not assumed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_runtime.serve.protocol import Signature
from edge_runtime.sessions.base import TensorSpec

DIFFERENCE = 1e-3
"""Largest difference between a sample's answer alone and in company, as a share of the answers' largest value."""

OPEN_AXIS = 8
"""Size that an axis is tried with when the model leaves it open."""


def examine(model: Any, most: int) -> tuple[Signature, int]:
    """A model's signature, and how many samples one inference may take: ``most``, or 1.

    The model runs a few times, so that its first request does not pay for that. Raises ModelUnfitError when it cannot
    be served, SessionError when it does not run.
    """
    session = model.session
    signature = Signature.of(session.inputs, session.outputs)
    faint = {spec.name: probe(spec, 0.01, seed=1) for spec in session.inputs}
    strong = {spec.name: probe(spec, 1.0, seed=2) for spec in session.inputs}
    alone = [session.run(inputs) for inputs in (faint, strong)]
    if not signature.batched or most < 2:
        return signature, 1
    together = session.run({name: np.concatenate([faint[name], strong[name]]) for name in faint})
    return signature, most if all(map(_same, alone[0].values(), alone[1].values(), together.values())) else 1


def probe(spec: TensorSpec, strength: float, seed: int) -> np.ndarray:
    """One sample of values that any model takes: pixels over the whole range, whole numbers of 0 and 1."""
    shape = (1, *(axis if isinstance(axis, int) else OPEN_AXIS for axis in spec.shape[1:]))
    if isinstance(spec.shape[0], int):
        shape = (spec.shape[0], *shape[1:])
    random = np.random.default_rng(seed)
    if spec.dtype in ("uint8", "int8"):
        bounds = np.iinfo(spec.dtype)
        return random.integers(0, max(2, int(bounds.max * strength)), shape).astype(spec.dtype)
    if np.dtype(spec.dtype).kind == "f":
        return (random.standard_normal(shape) * strength).astype(spec.dtype)
    return random.integers(0, 2, shape).astype(spec.dtype)


def _same(faint: np.ndarray, strong: np.ndarray, together: np.ndarray) -> bool:
    apart = np.concatenate([faint, strong])
    if apart.shape != together.shape:
        return False
    scale = float(np.abs(apart.astype(np.float64)).max(initial=0.0))
    return bool((np.abs(apart.astype(np.float64) - together) <= DIFFERENCE * scale).all())
