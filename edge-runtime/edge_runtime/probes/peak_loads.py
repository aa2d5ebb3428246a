"""The loads that ``probes.peak`` times: each makes as much of one resource's work as can be made from Python."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from edge_runtime.errors import ProbeError
from edge_runtime.probes.caches import Cache
from edge_runtime.sessions.base import Session
from edge_runtime.sessions.registry import open_session

BLOCK = 16_384
"""Numbers of a triad worked on at once: their products stay in the first-level cache."""

Call = Callable[[], object]


@dataclass
class Load:
    """``amount``: multiply-accumulates, or bytes, of one call. ``prepare``: makes the call anew, for every round."""

    amount: float
    prepare: Callable[[], Call]
    best: float = float("inf")

    @property
    def rate(self) -> float:
        """Amount a second, in the quickest call so far."""
        return self.amount / self.best


def blas(side: int) -> Load:
    """A product of two square float32 matrices, by numpy."""
    random = np.random.default_rng(0)
    left, right = (random.standard_normal((side, side), np.float32) for _ in range(2))
    out = np.empty_like(left)
    return Load(side**3, lambda: lambda: np.dot(left, right, out=out))


def runtime(name: str, kind: type[Session], precision: str, threads: int, stack: ExitStack) -> Load:
    """The file that a runtime makes for the purpose. Raises ProbeError and as a session does."""
    with tempfile.TemporaryDirectory(prefix="peak-") as folder:
        made = kind.product(Path(folder), precision)
        if made is None:
            raise ProbeError(f"{name} cannot show a rate of the CPU's in {precision}")
        path, macs = made
        session = stack.enter_context(open_session(path, name, threads))
    spec, random = session.inputs[0], np.random.default_rng(0)
    if spec.dtype == "float32":
        array = random.standard_normal(spec.shape, np.float32)
    else:
        bounds = np.iinfo(spec.dtype)
        array = random.integers(bounds.min, bounds.max, spec.shape, spec.dtype, endpoint=True)
    return Load(macs, lambda: lambda: session.predict(array))


def memory(bytes_: int, threads: int, stack: ExitStack) -> dict[str, Load]:
    """``read``, ``copy`` and ``triad`` of arrays of so many bytes each."""
    b = np.ones(bytes_ // 4, np.float32)
    a, c = b.copy(), b.copy()
    pool = stack.enter_context(ThreadPoolExecutor(threads))
    cuts = list(_cuts(len(b), threads))

    def copy() -> None:
        list(pool.map(lambda cut: np.copyto(a[cut], b[cut]), cuts))

    def triad() -> None:
        list(pool.map(lambda cut: _triad(a[cut], b[cut], c[cut]), cuts))

    return {
        "read": Load(b.nbytes, lambda: lambda: b.dot(b)),
        "copy": Load(2 * b.nbytes, lambda: copy),
        "triad": Load(3 * b.nbytes, lambda: triad),
    }


def resident(cache: Cache, threads: int) -> Load:
    """Reading half of what the threads' caches of one level hold, again and again."""
    count = cache.within_reach(threads) // 2 // 4

    def prepare() -> Call:
        # Physical pages decide which of them can stay in the cache together: other ones in every round.
        array = np.ones(count, np.float32)
        return lambda: array.dot(array)

    return Load(4 * count, prepare)


def _triad(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    scaled = np.empty(BLOCK, np.float32)
    for start in range(0, len(a), BLOCK):
        cut = slice(start, start + BLOCK)
        products = scaled[: len(a[cut])]
        np.multiply(c[cut], np.float32(3), out=products)
        np.add(b[cut], products, out=a[cut])


def _cuts(length: int, parts: int) -> Iterator[slice]:
    edges = np.linspace(0, length, parts + 1).astype(int).tolist()
    return (slice(low, high) for low, high in pairwise(edges))
