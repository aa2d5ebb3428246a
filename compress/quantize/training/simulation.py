"""Training with rounding simulated, whoever put the simulation into the network: torchao (`qat`) or FX (`fx`).

Ranges of weights are those of the weights as they are. Ranges of activations start from calibration samples, follow the
batches of training, and stay fixed in its last third, so that the weights settle to ranges that no longer move (as in
PyTorch's reference training, which stops its observers before it ends). Validation never sets ranges.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from compress.bench.words import counted
from compress.distill.logits import distill
from compress.errors import QuantizationError
from compress.quantize.from_scheme import MOMENTUM
from compress.quantize.graph import ranges
from compress.quantize.job import Job
from compress.recipe import Distill, QuantTraining
from compress.training import Epoch, accuracy, fit

FROZEN = 1 / 3
"""Share of the steps, the last ones, in which the ranges of activations stay fixed."""

RUNTIMES = ("onnxruntime", "openvino", "tensorrt")


class Simulation(nn.Module):
    """A prepared network that the training loop can use like any module: raw inputs to logits.

    ``graph``: holds fake quantizers, torchao's or ``torch.ao``'s; it stays in eval mode, so batch normalisation uses
    the statistics it has, and dropout is off. In eval mode nothing is observed.
    """

    frozen: Tensor

    def __init__(self, graph: nn.Module) -> None:
        super().__init__()
        self.graph = graph
        self.register_buffer("frozen", torch.tensor(False))  # a buffer, so that a resumed run knows
        for parameter in graph.parameters():  # biases that folding made do not ask for gradients
            parameter.requires_grad_(True)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.graph(inputs)

    def train(self, mode: bool = True) -> Simulation:
        self.training = mode
        for quantizer in self.activations():
            quantizer.enable_observer(mode and not self.frozen)
            if not mode:
                _use_observed(quantizer)
        return self

    def freeze(self) -> None:
        """From now on ranges of activations stay as they are."""
        self.frozen.fill_(True)
        for quantizer in self.activations():
            quantizer.disable_observer()

    def simulate(self, rounding: bool) -> None:
        """Whether values are rounded or only observed."""
        for quantizer in self._quantizers():
            quantizer.enable_fake_quant(rounding)

    def activations(self) -> Iterator[nn.Module]:
        """The fake quantizers of activations: those of weights have the same range on both sides of zero."""
        return (quantizer for quantizer in self._quantizers() if quantizer.quant_min != -quantizer.quant_max)

    def _quantizers(self) -> Iterator[nn.Module]:
        return (module for module in self.graph.modules() if hasattr(module, "fake_quant_enabled"))


def _use_observed(quantizer: nn.Module) -> None:
    """Scale and zero point from the observed range, which a moving average of the weights also averages."""
    scale, zero_point = quantizer.calculate_qparams()
    quantizer.scale.resize_(scale.shape).copy_(scale)
    quantizer.zero_point.resize_(zero_point.shape).copy_(zero_point)


def trainable(job: Job) -> nn.Module:
    """The float network in eval mode.

    Raises :class:`QuantizationError` if this job has none, or is for another runtime, and
    :class:`compress.errors.DataError` for calibration samples that the network cannot take.
    """
    if job.runtime not in RUNTIMES:
        raise QuantizationError(f"training with rounding simulated writes for {', '.join(RUNTIMES)}, not {job.runtime}")
    if job.network is None:
        raise QuantizationError(
            "training with rounding simulated needs the PyTorch network, and an ONNX teacher has none: use "
            "'method: static'"
        )
    ranges.check(onnx.load(job.onnx), job.calibration)
    return job.network().eval()


@torch.no_grad()
def calibrate(simulation: Simulation, samples: np.ndarray) -> None:
    """Set the ranges of activations, without rounding, to the mean range of a batch of raw inputs (N, ...)."""
    simulation.simulate(False)
    simulation.train()
    for number, batch in enumerate(ranges.batches(samples), 1):
        _follow(simulation, 1 / number)
        simulation(torch.from_numpy(batch))
    _follow(simulation, MOMENTUM)
    simulation.simulate(True)
    simulation.eval()


def _follow(simulation: Simulation, share: float) -> None:
    """How much of the next batch's range goes into the average."""
    for quantizer in simulation.activations():
        quantizer.activation_post_process.averaging_constant = share


def improve(simulation: Simulation, job: Job) -> list[str]:
    """Train in place; keeps the best epoch on validation, or the untrained weights if no epoch was as good.

    Returns a line for the report.
    """
    untrained = copy.deepcopy(simulation.state_dict())
    before = accuracy(simulation, job.data.validation)
    history = _train(simulation, job)
    after = max(epoch.accuracy for epoch in history)
    if after < before:
        simulation.load_state_dict(untrained)
        simulation.eval()
    kept = "the untrained weights are kept" if after < before else "the best epoch is kept"
    return [
        f"validation accuracy {before:.2%} with calibrated ranges alone, at best {after:.2%} after "
        f"{counted(len(history), 'epoch')} of training with rounding simulated: {kept}"
    ]


def _train(simulation: Simulation, job: Job) -> list[Epoch]:
    """On the teacher's answers; on the labels alone where there is no teacher or its weight is 0."""
    settings = job.settings
    training = settings.training or QuantTraining()
    splits = (job.data.train, job.data.validation)

    def on_batch(done: int, total: int) -> None:
        if done >= total * (1 - FROZEN) and not simulation.frozen:
            simulation.freeze()
        job.on_batch(done, total)

    told = {"resume": job.resume, "on_batch": on_batch, "on_epoch": job.on_epoch}
    if job.teacher is None or settings.weight == 0:
        return fit(simulation, *splits, training, **told)
    distilled = Distill(temperature=settings.temperature, weight=settings.weight, training=training)
    return distill(simulation, job.teacher(), *splits, distilled, **told)
