"""The FX flow of ``torch.ao.quantization``, for users who have models prepared with it. PyTorch is removing it.

After calibration alone, or with training where the recipe has `training`; the file is the same kind of QDQ ONNX as
everyone's. It needs a network that ``torch.fx`` can trace symbolically, and knows fewer operators than `qat`.

1. The network is traced and batch normalisation folded; input normalisation stays outside, in float.
2. Observers (or fake quantizers) go where PyTorch's description of the backend says, by the target's scheme.
3. Calibration, then perhaps training (`simulation`).
4. Quantize / dequantize operators take their place, except behind the logits; `converted` writes and proves the file.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import fx, nn
from torch.nn import functional as F

from compress import quiet
from compress.errors import QuantizationError
from compress.models.normalize import Normalized
from compress.quantize import from_scheme
from compress.quantize.graph import ranges
from compress.quantize.job import Job
from compress.quantize.training import converted
from compress.quantize.training.simulation import Simulation, calibrate, improve, trainable

DEPRECATED = (
    "method 'fx' uses torch.ao.quantization, which PyTorch has deprecated and will remove: use 'static', or 'qat' to "
    "train"
)


def quantize(job: Job) -> list[str]:
    """Write ``job.out``; returns lines for the report.

    Raises :class:`QuantizationError` for a network that cannot be traced, or when the file is not the network.
    """
    job.say(DEPRECATED)
    with quiet.pytorch(), _deprecated():
        if job.settings.training is None:
            prepared = prepare(trainable(job), job, job.settings.calibration)
            _observe(prepared, job.calibration)
            story = ["ranges from calibration samples, no training"]
        else:
            simulation = Simulation(prepare(trainable(job), job, None))
            calibrate(simulation, job.calibration)
            story = improve(simulation, job)
            prepared = simulation.graph
            _observe(simulation, job.calibration[:1])  # the weights' ranges become those of the weights that were kept
        return [*story, *converted.write(convert(prepared, job), job)]


def prepare(network: nn.Module, job: Job, calibration: str | None) -> nn.Module:
    """The network with observers, or (``calibration`` None) with fake quantizers, in eval mode."""
    from torch.ao.quantization.quantize_fx import fuse_fx, prepare_fx, prepare_qat_fx

    mapping, backend = from_scheme.fx_qconfig(job.scheme, calibration)
    example = torch.from_numpy(np.resize(job.data.train.inputs[:2], (2, *job.data.input_shape)))
    if isinstance(network, Normalized):
        example = example.float() * network.gain + network.offset
    traced = fuse_fx(_trace(_inner(network)), backend_config=backend)
    if calibration is None:
        prepared = prepare_qat_fx(traced.train(), mapping, (example,), backend_config=backend)
    else:
        prepared = prepare_fx(traced, mapping, (example,), backend_config=backend)
    return _with_inner(network, prepared).eval()


def convert(prepared: nn.Module, job: Job) -> nn.Module:
    """The network with quantize / dequantize operators, which still computes in float."""
    from torch.ao.quantization.quantize_fx import _convert_to_reference_decomposed_fx

    _, backend = from_scheme.fx_qconfig(job.scheme, None)
    # The channels-last layout of training would be exported as index arithmetic.
    prepared = copy.deepcopy(prepared).to(memory_format=torch.contiguous_format)
    graph = _convert_to_reference_decomposed_fx(_inner(prepared), backend_config=backend)
    _float_logits(graph)
    _unfuse(graph)
    return _with_inner(prepared, graph).eval()


def _inner(network: nn.Module) -> nn.Module:
    return network.model if isinstance(network, Normalized) else network


def _with_inner(network: nn.Module, inner: nn.Module) -> nn.Module:
    if not isinstance(network, Normalized):
        return inner
    network.model = inner
    return network


def _trace(network: nn.Module) -> fx.GraphModule:
    try:
        graph = fx.symbolic_trace(network)
    except (fx.proxy.TraceError, TypeError, ValueError) as error:
        raise QuantizationError(
            f"{type(network).__name__} cannot be traced by torch.fx: {error}; 'method: qat' traces more networks"
        ) from error
    for node in graph.graph.nodes:
        if node.target is torch.relu:  # which FX does not know how to fuse with a convolution
            node.target = F.relu
    graph.recompile()
    return graph


def _float_logits(graph: fx.GraphModule) -> None:
    """Take away the pair behind the last layer: 256 levels of logits would make ties that float does not have."""
    operators = torch.ops.quantized_decomposed
    output = graph.graph.output_node()
    dequantize = output.args[0]
    if dequantize.target != operators.dequantize_per_tensor.default:
        return
    last = dequantize.args[0].args[0]
    if last.op == "call_module" and isinstance(graph.get_submodule(last.target), nn.Linear):
        output.args = (last,)
        graph.graph.eliminate_dead_code()
        graph.recompile()


def _unfuse(graph: fx.GraphModule) -> None:
    """Spell a layer fused with its activation as two again, so that the layer has its own name in the file."""
    for node in list(graph.graph.nodes):
        fused = graph.get_submodule(node.target) if node.op == "call_module" else None
        if isinstance(fused, nn.Sequential) and len(fused) == 2 and isinstance(fused[1], nn.ReLU):
            graph.set_submodule(node.target, fused[0])
            with graph.graph.inserting_after(node):
                activation = graph.graph.call_function(F.relu)
            node.replace_all_uses_with(activation)
            activation.args = (node,)
    graph.recompile()


@torch.no_grad()
def _observe(network: nn.Module, samples: np.ndarray) -> None:
    for batch in ranges.batches(samples):
        network(torch.from_numpy(batch))


@contextmanager
def _deprecated() -> Iterator[None]:
    """Silence PyTorch's own warnings about this flow, which :data:`DEPRECATED` puts in the user's words."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.ao.quantization is deprecated", category=DeprecationWarning)
        yield
