"""Static int8 for LiteRT, by ai-edge-quantizer, which writes full-integer ``.tflite`` files.

1. Calibration samples stream through the float file, batch by batch, with every tensor kept for one batch;
   ``ranges`` chooses the range of each, by the recipe's method. (The quantizer's own calibration averages the ranges
   of single samples, and knows no other.)
2. The quantizer writes int8 weights, one scale a channel, int8 activations and int32 biases.
3. Input and output stay as in the float file. Normalisation, a few elementwise operators on raw pixels, stays in
   float: integers could only make it coarser.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from compress.bench.words import counted
from compress.errors import QuantizationError, ToolError
from compress.quantize.from_scheme import litert_recipe
from compress.quantize.graph import ranges
from compress.targets import litert_graph
from compress.targets.draft import draft

if TYPE_CHECKING:
    from compress.quantize.job import Job
    from compress.targets.scheme import Scheme

ELEMENTWISE = ("TRANSPOSE", "CAST", "MUL", "ADD", "SUB", "DIV")
"""What normalisation is made of, and the turn to channels last before it."""


def quantize(job: Job) -> list[str]:
    """Write ``job.out``. Returns lines for the report.

    Raises :class:`compress.errors.DataError` for calibration samples that the network cannot take, and
    :class:`QuantizationError` for a network that is quantized already or that the quantizer refuses.
    """
    settings = job.settings
    if any(layer.int8 for layer in litert_graph.layers(job.model)):
        raise QuantizationError(f"{job.model.name} is quantized already: give the float model")
    ranges.check(onnx.load(job.onnx), job.calibration)
    asked = {"equalize": settings.equalize, "smooth": settings.smooth is not None}
    asked["rounding: learned"] = settings.rounding == "learned"
    if left_out := [name for name, wanted in asked.items() if wanted]:
        job.say(f"{' and '.join(left_out)}: not done for litert, whose files another quantizer writes")
    found = collect(job.model, job.calibration, settings.calibration, job.scheme)
    with draft(Path(job.out)) as file:
        litert_graph.write(build(job.model, found, job.scheme), file)
    layers = litert_graph.layers(job.out)
    return [
        f"{sum(layer.int8 for layer in layers)} of {len(layers)} layers have int8 weights, inputs and outputs",
        f"{counted(litert_graph.conversions(job.out), 'conversion')} between float and int8",
        "biases are not corrected: ai-edge-quantizer has no such step",
    ]


def collect(path: Path, samples: np.ndarray, method: str, scheme: Scheme) -> ranges.Ranges:
    """The range of every float activation of the file at ``path``, by tensor name. ``samples``: raw inputs (N, ...)."""
    collected = ranges.collector(method, scheme)
    for name, array in _activations(path, samples):
        collected.add(name, array)
    return collected.ranges()


def build(path: Path, found: ranges.Ranges, scheme: Scheme, exclude: Collection[str] = frozenset()) -> Any:
    """The int8 version (``ModelT``) of the float file. ``exclude``: names of layers that stay in float."""
    recipe = litert_recipe(scheme, {*exclude, *_normalisation(path)})
    quantizer = _quantizer().Quantizer(path.read_bytes(), recipe)
    statistics = {name: {"min": _scalar(low), "max": _scalar(high)} for name, (low, high) in found.items()}
    try:
        with _knowing_of_memory():
            result = quantizer.quantize(statistics, enable_progress_bar=False, enable_progress_report=False)
    except (ValueError, RuntimeError, KeyError) as error:
        raise QuantizationError(f"{path.name}: ai-edge-quantizer refuses it: {error}") from error
    model = litert_graph.read(bytes(result.quantized_model))
    litert_graph.free_the_batch(model)  # the last conversion made a new output
    return model


def _activations(path: Path, samples: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Every float tensor that is computed, for one batch after the other."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    with _knowing_of_memory():
        interpreter = Interpreter(
            str(path),
            num_threads=1,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
        )
    entry = interpreter.get_input_details()[0]["index"]
    computed = {int(index) for _, operator in _operators(path) for index in operator.outputs}
    for batch in ranges.batches(samples):
        interpreter.resize_tensor_input(entry, batch.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(entry, batch)
        interpreter.invoke()
        for detail in interpreter.get_tensor_details():
            if detail["index"] in computed and detail["dtype"] is np.float32:
                yield detail["name"], interpreter.get_tensor(detail["index"])


def _normalisation(path: Path) -> list[str]:
    """Names of the results of the elementwise operators between the input and the first real layer."""
    model = litert_graph.read(path.read_bytes())
    graph = model.subgraphs[0]
    constant = {i for i, tensor in enumerate(graph.tensors) if model.buffers[tensor.buffer].data is not None}
    reached, names = set(map(int, graph.inputs)), []
    for name, operator in litert_graph.operators(model):
        inputs = set(map(int, operator.inputs))
        if name in ELEMENTWISE and reached & inputs and inputs <= reached | constant:
            reached |= set(map(int, operator.outputs))
            names += [litert_graph.text(graph.tensors[index].name) for index in operator.outputs]
    return names


@contextmanager
def _knowing_of_memory() -> Iterator[None]:
    """Silence LiteRT's warning that keeping all tensors takes memory: they are those of one batch."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Warning: Enabling `experimental_preserve_all_tensors`")
        yield


def _operators(path: Path) -> Iterator[tuple[str, Any]]:
    return litert_graph.operators(litert_graph.read(path.read_bytes()))


def _quantizer() -> Any:
    try:
        from ai_edge_quantizer import quantizer
    except ModuleNotFoundError as error:
        raise ToolError(f"int8 for litert needs {error.name}: pip install 'compress[litert]'") from error
    return quantizer


def _scalar(value: np.float32) -> np.ndarray:
    """As the quantizer keeps the ends of a range that holds for a whole tensor."""
    return np.full((1, 1, 1, 1), value, np.float32)
