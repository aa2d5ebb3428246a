"""Quantization-aware training (Jacob et al., 2018, arXiv:1712.05877) by torchao's PT2E flow, with distillation.

1. ``torch.export`` traces the trained float network. Batch normalisation is folded into convolutions before training,
   with the statistics it has: what is trained is then what runs, and on trained networks this is as good as folding
   while training (Nagel et al., 2021, arXiv:2106.08295, section 5.2.1).
2. The target's scheme says where and how rounding is simulated (`torchao_quantizer`).
3. The one training loop of the project trains weights and biases through the rounding (`simulation`).
4. torchao rounds the weights for good; `converted` writes the file and proves that it is the network that was trained.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from compress import quiet
from compress.errors import QuantizationError
from compress.quantize import from_scheme
from compress.quantize.job import Job
from compress.quantize.training import converted
from compress.quantize.training.simulation import Simulation, calibrate, improve, trainable


def quantize(job: Job) -> list[str]:
    """Train and write ``job.out``; returns lines for the report.

    Raises :class:`QuantizationError` for a network that cannot be trained or traced, :class:`ExportError` when the file
    is not the network.
    """
    with quiet.pytorch():
        simulation = prepare(trainable(job), job)
        calibrate(simulation, job.calibration)
        story = improve(simulation, job)
        return story + converted.write(convert(simulation), job)


def prepare(network: nn.Module, job: Job) -> Simulation:
    """Trace the float network and insert fake quantizers by the job's scheme."""
    from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e
    from torchao.quantization.pt2e.utils import _fuse_conv_bn_

    quantizer = from_scheme.torchao_quantizer(job.scheme)
    graph = _trace(network, np.resize(job.data.train.inputs[:2], (2, *job.data.input_shape)))
    _fuse_conv_bn_(graph)
    graph.delete_all_unused_submodules()
    return Simulation(prepare_qat_pt2e(graph, quantizer))


def _trace(network: nn.Module, example: np.ndarray) -> GraphModule:
    try:
        program = torch.export.export(
            network, (torch.from_numpy(example),), dynamic_shapes=({0: torch.export.Dim("batch")},)
        )
    # What tracing raises has no common base: a branch on values, an operator without a meta kernel, a fixed batch.
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise QuantizationError(
            f"{type(network).__name__} cannot be traced for training with rounding simulated: {reason}; forward() may "
            "not depend on values or on the batch size"
        ) from error
    return program.module()


def convert(simulation: Simulation) -> GraphModule:
    """The network with quantize / dequantize operators and int8 weights, which still computes in float."""
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e

    # The channels-last layout of training would be exported as index arithmetic.
    graph = copy.deepcopy(simulation.eval().graph).to(memory_format=torch.contiguous_format)
    with torch.no_grad():
        graph(_zeros(graph))  # the weights' ranges become those of the weights that were kept
        graph = convert_pt2e(graph)
    for module in graph.modules():
        module.training = False  # eval() is closed on such graphs, and the exporter looks
    return graph


def _zeros(graph: GraphModule) -> Tensor:
    """Two inputs of the kind that was traced."""
    value = next(node for node in graph.graph.nodes if node.op == "placeholder").meta["val"]
    return torch.zeros((2, *value.shape[1:]), dtype=value.dtype)
