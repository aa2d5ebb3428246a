"""The one training loop: teachers, fine-tuning after pruning and distillation all go through :func:`fit`.

1. Every epoch draws its order and its augmented view from ``(seed, epoch)`` alone.
2. The learning rate rises linearly over the warm-up and falls to zero along a cosine (one cycle).
3. After each epoch the weights (their moving average, if asked for) are judged on the validation split.
4. The state is written beside the artifact after each epoch, so a killed run goes on from its last epoch and ends with
   the same weights as one that was never interrupted.
5. The epoch that was best on validation is kept; the test split is not seen here.
"""

from __future__ import annotations

import copy
import itertools
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, safe_open, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from compress.data.augment import View
from compress.data.dataset import Split
from compress.errors import ModelError
from compress.files import replace_file
from compress.recipe import Training

# loss(logits, labels, sample indices, view): the indices let distillation look up the teacher's logits.
Loss = Callable[[Tensor, Tensor, Tensor, int], Tensor]
STATE_FILE = "training.safetensors"


@dataclass(frozen=True)
class Epoch:
    """What one epoch did. ``loss``: mean training loss; ``accuracy``: on validation, 0 to 1; ``seconds``: wall time."""

    number: int
    loss: float
    accuracy: float
    seconds: float


def fit(
    model: nn.Module,
    train: Split,
    validation: Split,
    settings: Training,
    *,
    loss: Loss | None = None,
    resume: Path | None = None,
    on_batch: Callable[[int, int], None] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> list[Epoch]:
    """Train ``model`` in place on raw inputs and leave it in eval mode with the weights that validated best.

    ``loss`` defaults to cross-entropy with the settings' label smoothing. ``resume`` is a folder for the resume state;
    without it nothing is written. ``on_batch(done, total)`` and ``on_epoch(epoch)`` report progress.
    """
    model.to(memory_format=torch.channels_last)
    loss = loss or _cross_entropy(settings.label_smoothing)
    steps = math.ceil(len(train) / settings.batch)
    total = steps * settings.epochs
    optimizer = _optimizer(model, settings)
    average = copy.deepcopy(model).eval() if settings.ema else model
    state = _State(model, average, optimizer, resume)
    history = state.load()
    labels = torch.from_numpy(train.labels)

    for number in range(len(history), settings.epochs):
        started = time.perf_counter()
        torch.manual_seed(_seed(settings.seed, number))  # dropout
        order = torch.from_numpy(np.random.default_rng((settings.seed, number, 1)).permutation(len(train)))
        view = number if settings.views is None else number % settings.views
        inputs = View(train.inputs, settings.augment, seed=settings.seed, view=view)
        model.train()
        running = 0.0
        for step, index in enumerate(order.split(settings.batch)):
            if len(index) < 2:  # batch normalisation has no variance of one sample
                continue
            done = number * steps + step
            for group in optimizer.param_groups:
                group["lr"] = settings.lr * one_cycle(done / total, settings.warmup)
            optimizer.zero_grad(set_to_none=True)
            value = loss(model(inputs[index]), labels[index], index, view)
            value.backward()
            optimizer.step()
            if settings.ema:
                _move_average(average, model, min(settings.ema, (1 + done) / (10 + done)))
            running += value.item() * len(index)
            if on_batch:
                on_batch(done + 1, total)
        epoch = Epoch(number, running / len(train), accuracy(average, validation), time.perf_counter() - started)
        if not math.isfinite(running):
            raise ModelError(f"training diverged in epoch {number + 1} (loss {running}): lower lr = {settings.lr:g}")
        history.append(epoch)
        state.save(history)
        if on_epoch:
            on_epoch(epoch)
    model.load_state_dict(state.best())
    model.eval()
    return history


def one_cycle(progress: float, warmup: float) -> float:
    """The learning rate's factor at ``progress`` (0 to 1): linear to 1 over ``warmup``, then a cosine to 0."""
    if progress < warmup:
        return progress / warmup
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


@torch.inference_mode()
def predict(model: nn.Module, inputs: np.ndarray, batch: int = 256) -> np.ndarray:
    """Logits (N, classes) float32 of raw inputs, in eval mode."""
    model.eval()
    parts = torch.from_numpy(np.ascontiguousarray(inputs)).split(batch)
    return torch.cat([model(part) for part in parts]).float().numpy()


def accuracy(model: nn.Module, split: Split) -> float:
    """Share of right answers, 0 to 1."""
    return float((predict(model, split.inputs).argmax(1) == split.labels).mean())


def _cross_entropy(smoothing: float) -> Loss:
    return lambda logits, labels, index, view: F.cross_entropy(logits, labels, label_smoothing=smoothing)


def _seed(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0])


def _optimizer(model: nn.Module, settings: Training) -> torch.optim.Optimizer:
    """Weight decay on matrices and kernels only: on biases and normalisation it just shrinks the signal."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=settings.lr)
    return torch.optim.SGD(groups, lr=settings.lr, momentum=0.9, nesterov=True)


@torch.no_grad()
def _move_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    # Not of state_dict(), in which a tensor that two modules share is listed, and would be moved, twice.
    tensors = [itertools.chain(module.parameters(), module.buffers()) for module in (average, model)]
    for kept, new in zip(*tensors, strict=True):
        if kept.is_floating_point():
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)


class _State:
    """What a killed run needs to go on: weights, their average, the optimizer, the best epoch so far, the history."""

    def __init__(
        self, model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, folder: Path | None
    ) -> None:
        self._model, self._average, self._optimizer = model, average, optimizer
        self._file = folder / STATE_FILE if folder else None
        self._best: dict[str, Tensor] = {}
        self._best_accuracy = -1.0

    def best(self) -> dict[str, Tensor]:
        return self._best

    def load(self) -> list[Epoch]:
        if self._file is None or not self._file.is_file():
            return []
        tensors = load_file(self._file)
        with safe_open(self._file, "pt") as file:
            meta = json.loads(file.metadata()["state"])
        part = lambda prefix: {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}  # noqa: E731
        self._model.load_state_dict(part("model."))
        self._average.load_state_dict(part("average."))
        self._best = part("best.")
        state = self._optimizer.state_dict()
        for key, value in part("optimizer.").items():
            index, name = key.split(".", 1)
            state["state"].setdefault(int(index), {})[name] = value
        self._optimizer.load_state_dict(state)
        history = [Epoch(**epoch) for epoch in meta["history"]]
        self._best_accuracy = max(epoch.accuracy for epoch in history)
        return history

    def save(self, history: list[Epoch]) -> None:
        if history[-1].accuracy >= self._best_accuracy:  # of equals, the later has the smaller learning rate
            self._best_accuracy = history[-1].accuracy
            self._best = {k: v.clone() for k, v in self._average.state_dict().items()}
        if self._file is None:
            return
        # Cloned: safetensors refuses tensors that share memory, as tied weights and shared ranges do.
        tensors = {f"model.{k}": v.clone() for k, v in self._model.state_dict().items()}
        tensors |= {f"average.{k}": v.clone() for k, v in self._average.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self._best.items()}
        for index, slots in self._optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": v for name, v in slots.items() if isinstance(v, Tensor)}
        tensors = {k: v.contiguous() for k, v in tensors.items()}
        meta = {"state": json.dumps({"history": [asdict(epoch) for epoch in history]})}
        with replace_file(self._file) as temporary:
            save_file(tensors, temporary, meta)
