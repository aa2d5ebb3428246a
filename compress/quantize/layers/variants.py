"""One network with any of its layers in float: files, logits and times of such variants, each made when asked for."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx

from compress.bench import stats
from compress.bench.figures import Interval, PairedDifference
from compress.compare.logits import logits
from compress.data.dataset import Split
from compress.errors import QuantizationError
from compress.quantize import quantize
from compress.quantize.job import Job
from compress.quantize.layers import keep
from compress.quantize.layers.remembered import Judged, Remembered
from compress.targets import openvino as openvino_export
from edge_runtime import Session, open_session
from edge_runtime.probes import latency

ALL_INT8: frozenset[str] = frozenset()

PARTS = 16
"""Of the samples, after each of which a variant may be given up."""

GROUP = 16
"""Variants timed together: more would make a round so long that a machine drifts within it."""


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
        self._found: dict[frozenset[str] | None, Judged] = {}
        self._remembered = Remembered(job.resume, [*keep.files(job.model), *keep.files(quantized)], split)

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

    def holds(self, kept: frozenset[str], limit: float) -> bool:
        """Whether ``drop(kept).high`` is at most ``limit``, asked of no more samples than it takes to refuse."""
        return self._judged(kept, limit) is not None and self.drop(kept).high <= limit

    def _judged(self, kept: frozenset[str] | None, limit: float | None = None) -> Judged | None:
        """None where, with ``limit``, it is certain before the last sample that the drop's upper end lies above."""
        if kept not in self._found:
            found = self._remembered.get(kept) or self._judge(kept, limit)
            if found is None:
                return None
            self._remembered.put(kept, found)
            self._found[kept] = found
        return self._found[kept]

    def _judge(self, kept: frozenset[str] | None, limit: float | None) -> Judged | None:
        expected, labels = self._expected, self.split.labels
        correct = expected.argmax(1) == labels
        if kept is None:
            return Judged(correct, 0.0)
        found, lost, won, winnable = np.empty_like(expected), 0, 0, int((~correct).sum())
        with self._open(kept, literally=not self._job.measurable) as session:
            for part in np.array_split(self._telling_order, min(PARTS, len(labels))):
                found[part] = _logits(session, self.split.inputs[part])
                right, was = found[part].argmax(1) == labels[part], correct[part]
                lost, won = lost + int((was & ~right).sum()), won + int((right & ~was).sum())
                winnable -= int((~was).sum())
                if limit is not None and stats.tango(lost, won + winnable, len(labels)).high > limit:
                    return None
        spread = max(float(np.sqrt(np.mean(expected**2))), np.finfo(np.float32).tiny)
        error = float(np.sqrt(np.mean((found - expected) ** 2))) / spread
        return Judged(found.argmax(1) == labels, error)

    @cached_property
    def _expected(self) -> np.ndarray:
        """The float logits; the others are not kept, they may be large."""
        with self._open(None, literally=not self._job.measurable) as session:
            return _logits(session, self.split.inputs)

    @cached_property
    def _telling_order(self) -> np.ndarray:
        """(N,) indices: first what float gets wrong, as only that can be won, then what it decides by a hair."""
        first, second = np.partition(self._expected, -2, axis=1)[:, -2:].T[::-1]
        right = self._expected.argmax(1) == self.split.labels
        return np.lexsort((first - second, right))

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


def _logits(session: Session, inputs: np.ndarray) -> np.ndarray:
    """(N, classes), each sample's mean taken out: what all classes share decides nothing."""
    found = logits(session, inputs).astype(np.float64)
    return found - found.mean(1, keepdims=True)


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
            # Its own progress would run before, and at another pace than, that of what is looked for.
            story = quantize(replace(job, settings=settings, out=quantized, on_batch=lambda done, total: None))
        variants = Variants(job, quantized, split, folder)
        if keep.can_keep(quantized) and not variants.layers:
            raise QuantizationError(f"{quantized.name}: no convolution or matrix product of it is quantized")
        yield variants, story
