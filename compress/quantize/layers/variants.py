"""One network with any of its layers in float: files, logits and times of such variants, each made when asked for."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx

from compress.bench import stats
from compress.bench.results import Interval, PairedDifference
from compress.compare.logits import logits
from compress.data.dataset import Split
from compress.errors import QuantizationError
from compress.quantize import quantize
from compress.quantize.job import Job
from compress.quantize.layers import keep
from compress.targets import openvino as openvino_export
from edge_runtime import Session, open_session
from edge_runtime.probes import latency

BATCH = 200
ALL_INT8: frozenset[str] = frozenset()

GROUP = 16
"""Variants timed together: more would make a round so long that a machine drifts within it."""


@dataclass(frozen=True)
class _Judged:
    """``right``: (N,) bool. ``error``: see :meth:`Variants.error`."""

    right: np.ndarray
    error: float


class Variants:
    """Variants of ``quantized``, which was made for ``job``, judged on ``split``. A variant is the set of its layers
    that are in float; None stands for the float file itself."""

    def __init__(self, job: Job, quantized: Path, split: Split, folder: Path) -> None:
        self._job, self._quantized, self._folder = job, quantized, folder
        self._floating = _floating(job, folder)
        self.split = split
        self.layers = keep.layers(quantized) if keep.can_keep(quantized) else ()
        self.names = tuple(layer.name for layer in self.layers)
        self._files: dict[frozenset[str], Path] = {ALL_INT8: quantized}
        self._found: dict[frozenset[str] | None, _Judged] = {}
        self._expected: np.ndarray | None = None  # the float logits; the others are not kept, they may be large

    def on(self, split: Split) -> Variants:
        """The same variants on other samples."""
        other = Variants(self._job, self._quantized, split, self._folder)
        other._files = self._files
        return other

    def file(self, kept: frozenset[str] | None) -> Path:
        if kept is None:
            return self._job.model
        if kept not in self._files:
            folder = self._folder / f"variant-{len(self._files)}"
            folder.mkdir()
            path = folder / f"model{self._quantized.suffix}"
            keep.with_float(self._quantized, self._floating, kept, path)
            self._files[kept] = path
        return self._files[kept]

    def size(self, kept: frozenset[str] | None) -> int:
        """Bytes."""
        return keep.size(self.file(kept))

    def drop(self, kept: frozenset[str], reference: frozenset[str] | None = None) -> PairedDifference:
        """Accuracy lost against ``reference``."""
        return stats.paired_difference(self._judged(reference).right, self._judged(kept).right)

    def error(self, kept: frozenset[str]) -> float:
        """Root mean square difference from the float logits, relative to their own."""
        return self._judged(kept).error

    def _judged(self, kept: frozenset[str] | None) -> _Judged:
        if kept not in self._found:
            logits = self._logits(kept)
            if kept is None:
                self._expected = logits
            elif self._expected is None:
                self._judged(None)
            spread = max(float(np.sqrt(np.mean(self._expected**2))), np.finfo(np.float32).tiny)
            error = float(np.sqrt(np.mean((logits - self._expected) ** 2))) / spread
            self._found[kept] = _Judged(logits.argmax(1) == self.split.labels, error)
        return self._found[kept]

    def _logits(self, kept: frozenset[str] | None) -> np.ndarray:
        """(N, classes), each sample's mean taken out: what all classes share decides nothing."""
        with self._open(kept, literally=not self._job.measurable) as session:
            found = logits(session, self.split.inputs, BATCH).astype(np.float64)
        return found - found.mean(1, keepdims=True)

    @property
    def can_be_timed(self) -> bool:
        """Whether times taken here are the target's."""
        return self._job.measurable and self._job.runtime in ("onnxruntime", "openvino")

    def times(
        self, variants: Mapping[str, frozenset[str] | None], *, rounds: int, seconds: float, seed: int
    ) -> tuple[dict[str, np.ndarray], dict]:
        """Block medians in seconds by name, of single samples on one thread, and the method; all interleaved."""
        sample = np.ascontiguousarray(self.split.inputs[:1])
        with ExitStack() as stack:
            sessions = {name: stack.enter_context(self._open(kept)) for name, kept in variants.items()}
            runs = {name: (lambda session=session: session.predict(sample)) for name, session in sessions.items()}
            samples = latency.interleave(runs, rounds=rounds, seconds=seconds, seed=seed)
        return {name: samples.block_medians(name) for name in variants}, samples.method

    def gains(
        self, base: frozenset[str], names: tuple[str, ...], *, rounds: int, seconds: float, seed: int, on_group=None
    ) -> tuple[dict[str, Interval], list[dict]]:
        """For every layer time(``base`` with it in float) / time(``base``): above 1, int8 saves time. The methods."""
        found, methods = {}, []
        for start in range(0, len(names), GROUP):
            group = names[start : start + GROUP]
            variants = {"": base} | {name: base | {name} for name in group}
            medians, method = self.times(variants, rounds=rounds, seconds=seconds, seed=seed)
            found |= {name: stats.ratio_interval(medians[name], medians[""]) for name in group}
            methods.append(method)
            if on_group:
                on_group(len(group))
        return found, methods

    def _open(self, kept: frozenset[str] | None, *, literally: bool = False) -> Session:
        """``literally``: in float between the roundings, as where this machine's int8 is not the target's."""
        path = self.file(kept)
        if path.suffix == ".onnx":
            return open_session(path, "onnxruntime", optimize=not literally)
        return open_session(path)


def _floating(job: Job, folder: Path) -> Path:
    """The float file as it was quantized: prepared for that, and perhaps with weights moved between its layers."""
    settings, openvino = job.settings, job.model.suffix == ".xml"
    moved = settings.equalize or settings.smooth is not None
    if settings.method != "static" or job.model.suffix not in (".onnx", ".xml") or (openvino and not moved):
        return job.model
    from compress.quantize import static

    path = folder / "floating.onnx"
    if not path.exists():
        onnx.save_model(static.float_graph(job)[0], path)
        if openvino:
            openvino_export.export(path, path.with_suffix(".xml"))
    return path.with_suffix(job.model.suffix)


@contextmanager
def all_int8(job: Job, split: Split, quantized: Path | None = None) -> Iterator[tuple[Variants, list[str]]]:
    """Variants of ``quantized``, or of what ``job``'s method makes of all layers, and the story of that."""
    with tempfile.TemporaryDirectory() as name:
        folder, story = Path(name), []
        if quantized is None:
            quantized = folder / "int8" / job.out.name
            quantized.parent.mkdir()
            settings = job.settings.model_copy(update={"to": "int8", "max_drop": None})
            story = quantize(replace(job, settings=settings, out=quantized))
        variants = Variants(job, quantized, split, folder)
        if keep.can_keep(quantized) and not variants.layers:
            raise QuantizationError(f"{quantized.name}: no convolution or matrix product of it is quantized")
        yield variants, story
