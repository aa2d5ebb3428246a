"""Calibration: the range of every activation, from samples that stream through the float network.

``minmax`` keeps all values; the others cut outliers off, so that the bulk gets finer steps:

- ``percentile``: all but a fixed share of the values;
- ``entropy``: the range whose 8-bit histogram diverges least (Kullback-Leibler) from the true one;
- ``mse``: the range with the least expected squared error, of rounding inside plus cutting outside.

Batches come one at a time, and what is kept of them is two numbers or a histogram of fixed size per activation: memory
does not depend on how many there are. The samples are checked first: nothing is calibrated on what is not a number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime

from compress.errors import DataError

if TYPE_CHECKING:
    from compress.targets.scheme import Scheme

Ranges = dict[str, tuple[np.float32, np.float32]]
"""Lowest and highest value of each activation, by its name in the float graph."""

BATCH = 32
BINS = 4096
PERCENTILE = 99.99
"""Share of an activation's values, in percent, inside the range that `calibration: percentile` chooses."""

LEVELS = 128
"""Steps on either side of zero that `entropy` compares the true distribution with."""

COARSE = 4
"""Bins that `entropy` merges into one. It never cuts below LEVELS of them, here a quarter of the range: with finer bins
it went down to a sixteenth on the quickstart network, and accuracy with it."""

CANDIDATES = 128
"""Ranges that `mse` tries in one direction."""


def collect(model: onnx.ModelProto, samples: np.ndarray, method: str, scheme: Scheme) -> Ranges:
    """Run ``samples`` (raw inputs (N, ...)) through the float ``model`` and choose the range of every activation.

    ``method``: minmax, entropy, percentile or mse. Raises :class:`DataError` for samples that the model cannot take.
    """
    check(model, samples)
    names = _activations(model.graph, scheme.operators)
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    outputs = _extremes(watched.graph, names) if method == "minmax" else _values(watched.graph, names)
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # which on busy cores doubles the time
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
    collected = collector(method, scheme)
    for batch in batches(samples):
        for name, array in zip(outputs.values(), session.run(list(outputs), {"input": batch}), strict=True):
            collected.add(name, array)
    return collected.ranges()


def _activations(graph: onnx.GraphProto, operators: Sequence[str]) -> list[str]:
    """The float values that these operators read or give, of a graph with types."""
    constants = {tensor.name for tensor in graph.initializer}
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
    known = {
        value.name
        for value in (*graph.input, *graph.value_info, *graph.output)
        if value.type.tensor_type.elem_type in floats and value.name not in constants
    }
    used = [name for node in graph.node if node.op_type in operators for name in (*node.input, *node.output)]
    return [name for name in dict.fromkeys(used) if name in known]


def _values(graph: onnx.GraphProto, names: list[str]) -> dict[str, str]:
    """Make these values outputs of the graph. Returns the value's name of each output."""
    given = {value.name for value in graph.output}
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in given)
    return {name: name for name in names}


def _extremes(graph: onnx.GraphProto, names: list[str]) -> dict[str, str]:
    """Make the lowest and the highest number of each of these values outputs of the graph, and not the values: all of a
    large network would fill the memory. Returns the value's name of each output."""
    outputs = {}
    for name in names:
        for operator in ("ReduceMin", "ReduceMax"):
            output = f"{name}/{operator}"
            graph.node.append(onnx.helper.make_node(operator, [name], [output], keepdims=0))
            graph.output.append(onnx.ValueInfoProto(name=output))  # its type is inferred
            outputs[output] = name
    return outputs


def check(model: onnx.ModelProto, samples: np.ndarray) -> None:
    """Raise :class:`DataError` unless there are samples, of the model's shape and type, all of them finite numbers."""
    expected = model.graph.input[0].type.tensor_type
    kind = onnx.helper.tensor_dtype_to_np_dtype(expected.elem_type)
    shape = [size.dim_value or None for size in expected.shape.dim]
    if not len(samples):
        raise DataError("the calibration split is empty: quantization needs samples to set ranges from")
    fits = samples.ndim == len(shape) and all(
        size in (None, found) for size, found in zip(shape[1:], samples.shape[1:], strict=True)
    )
    if not fits:
        wanted = " x ".join("any" if size is None else str(size) for size in shape[1:])
        found = " x ".join(map(str, samples.shape[1:]))
        raise DataError(f"the calibration samples are {found}, but the model takes {wanted}: use the model's own data")
    if samples.dtype != kind:
        raise DataError(f"the calibration samples are {samples.dtype}, but the model takes {kind}: give raw inputs")
    if np.issubdtype(kind, np.floating):
        for start in range(0, len(samples), BATCH):
            bad = ~np.isfinite(samples[start : start + BATCH]).reshape(-1, samples[0].size).all(axis=1)
            if bad.any():
                where = start + int(bad.argmax())
                raise DataError(f"calibration sample {where} holds NaN or infinity: remove or repair such samples")


def batches(samples: np.ndarray, size: int = BATCH) -> Iterator[np.ndarray]:
    """The samples in order, ``size`` at a time."""
    for start in range(0, len(samples), size):
        yield np.ascontiguousarray(samples[start : start + size])


def collector(method: str, scheme: Scheme) -> Extremes | Histograms:
    """What chooses ranges by ``method`` (minmax, entropy, percentile or mse) from arrays that come one by one."""
    return Extremes() if method == "minmax" else Histograms(method, scheme)


class Extremes:
    """The lowest and highest value of each activation."""

    def __init__(self) -> None:
        self._found: Ranges = {}

    def add(self, name: str, array: np.ndarray) -> None:
        low, high = self._found.get(name, (np.inf, -np.inf))
        self._found[name] = np.float32(min(low, array.min())), np.float32(max(high, array.max()))

    def ranges(self) -> Ranges:
        return dict(self._found)


class Histograms:
    """A histogram of each activation with a fixed number of bins, symmetric around zero, and the choice of a range.

    Where a batch goes beyond the range so far, the range doubles and bins merge two by two. (ONNX Runtime's own
    collector adds bins instead: after a first batch of nearly nothing, say black pictures, they would fill the memory.)
    """

    def __init__(self, method: str, scheme: Scheme) -> None:
        self._method, self._symmetric = method, scheme.symmetric_activations
        self._histograms: dict[str, Histogram] = {}

    def add(self, name: str, array: np.ndarray) -> None:
        if self._method != "percentile" and array.any():
            array = array[array != 0]  # which every scale represents exactly: half of what a Relu gives
        if array.size:
            self._histograms[name] = merge(self._histograms.get(name), array)

    def ranges(self) -> Ranges:
        choose = {"entropy": self._entropy, "percentile": self._percentile, "mse": self._mse}[self._method]
        found = {name: choose(histogram) for name, histogram in self._histograms.items()}
        return {name: (np.float32(low), np.float32(high)) for name, (low, high) in found.items()}

    def _entropy(self, histogram: Histogram) -> tuple[np.ndarray, np.ndarray]:
        return least_divergence(histogram)

    def _percentile(self, histogram: Histogram) -> tuple[np.ndarray, np.ndarray]:
        counts, edges, low, high, _ = histogram
        outside = 1 - PERCENTILE / 100
        if self._symmetric:
            half = BINS // 2
            absolute = np.cumsum(counts[half:] + counts[:half][::-1]) / counts.sum()
            end = edges[half + 1 + np.searchsorted(absolute, 1 - outside)]
            return max(-end, low), min(end, high)
        share = np.cumsum(counts) / counts.sum()
        first, last = np.searchsorted(share, [outside / 2, 1 - outside / 2])
        return max(edges[first], low), min(edges[last + 1], high)

    def _mse(self, histogram: Histogram) -> tuple[np.ndarray, np.ndarray]:
        return least_squares(histogram, self._symmetric)


Histogram = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Counts (BINS,), edges (BINS + 1,), lowest value, highest value, end of the last bin; all float32 but the counts."""


def merge(histogram: Histogram | None, array: np.ndarray) -> Histogram:
    """Add the values of ``array``."""
    low, high = array.min(), array.max()
    reach = max(abs(low), abs(high))
    if histogram is None:
        end = reach if reach > 0 else np.float32(np.finfo(np.float32).tiny * BINS)
        counts = np.zeros(BINS, np.int64)
    else:
        counts, _, lowest, highest, end = histogram
        low, high = min(low, lowest), max(high, highest)
    while reach > end:
        merged = counts.reshape(-1, 2).sum(axis=1)
        counts = np.concatenate([np.zeros(BINS // 4, np.int64), merged, np.zeros(BINS // 4, np.int64)])
        end = np.float32(end * 2)
    added, edges = np.histogram(array, BINS, range=(-end, end))
    return counts + added, edges.astype(np.float32), low, high, np.float32(end)


def least_divergence(histogram: Histogram) -> tuple[np.float32, np.float32]:
    """The range, symmetric where there are negative values, whose :data:`LEVELS` steps a side diverge least (Kullback-
    Leibler) from the values themselves, those outside being moved to the ends (Migacz, GTC 2017, "8-bit inference with
    TensorRT")."""
    counts, edges, lowest, highest, _ = histogram
    counts, edges = counts.reshape(-1, COARSE).sum(axis=1), edges[::COARSE]
    middle, both = len(counts) // 2, lowest < 0
    widths = range(LEVELS, middle + 1)
    best = widths[int(np.argmin([_divergence(counts, middle, width, both) for width in widths]))]
    return max(-edges[middle + best], lowest), min(edges[middle + best], highest)


def _divergence(counts: np.ndarray, middle: int, width: int, both: bool) -> float:
    start, end = middle - width if both else middle, middle + width
    inside = counts[start:end].astype(np.float64)
    true = inside.copy()
    true[0] += counts[:start].sum()
    true[-1] += counts[end:].sum()
    # Each step's values are spread evenly over those of its bins that hold any.
    steps = LEVELS * (1 + both)
    step = np.arange(len(inside)) * steps // len(inside)
    held = true > 0
    totals, bins = np.bincount(step, inside, steps), np.bincount(step, held, steps)
    quantized = np.where(held, totals[step] / np.maximum(bins[step], 1), 0)
    if not quantized.any():
        return np.inf
    p, q = true[held] / true.sum(), quantized[held] / quantized.sum()
    return float((p * np.log(p / np.maximum(q, np.finfo(np.float64).tiny))).sum())


def least_squares(histogram: Histogram, symmetric: bool, levels: int = 256) -> tuple[np.float32, np.float32]:
    """The range with the least expected squared error when values are cut to it and rounded to ``levels`` steps.

    Ends are tried inwards from the lowest and highest value, the upper one first. Zero is always inside: padding
    depends on it.
    """
    counts, edges, lowest, highest, _ = histogram
    used = counts > 0
    counts, centres = counts[used], ((edges[:-1] + edges[1:]) / 2)[used].astype(np.float64)
    centres = np.clip(centres, lowest, highest)
    shrunk = np.linspace(1, 1 / CANDIDATES, CANDIDATES)

    def best(lows: np.ndarray, highs: np.ndarray) -> int:
        return int(np.argmin([_error(counts, centres, *ends, levels) for ends in zip(lows, highs, strict=True)]))

    low, high = min(float(lowest), 0.0), max(float(highest), 0.0)
    if low == high:
        return np.float32(low), np.float32(high)
    if symmetric:
        ends = max(-low, high) * shrunk
        end = ends[best(-ends, ends)]
        return np.float32(-end), np.float32(end)
    for _ in range(2):  # each end depends a little on the other
        highs = max(float(highest), 0.0) * shrunk
        high = highs[best(np.full(CANDIDATES, low), highs)] if high > 0 else high
        lows = min(float(lowest), 0.0) * shrunk
        low = lows[best(lows, np.full(CANDIDATES, high))] if low < 0 else low
    return np.float32(low), np.float32(high)


def _error(counts: np.ndarray, values: np.ndarray, low: float, high: float, levels: int) -> float:
    """Squared error, summed. Inside, values of a bin lie anywhere between two steps: step² / 12 each."""
    step = (high - low) / (levels - 1)
    beyond = np.maximum(values - high, 0) + np.maximum(low - values, 0)
    inside = counts[beyond == 0].sum()
    return float((counts * beyond**2).sum() + inside * step**2 / 12)
