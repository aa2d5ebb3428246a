"""Logit distillation (Hinton et al., 2015, arXiv:1503.02531).

The student learns from the teacher's softened answers and, with the rest of the weight, from the labels::

    loss = weight * T^2 * KL(softmax(teacher / T) || softmax(student / T))
         + (1 - weight) * cross_entropy(student, labels)

``T^2`` keeps both gradients on one scale whatever the temperature. The teacher sees the very view the student sees
(Beyer et al., 2022, arXiv:2106.05237). Because a view is a function of (seed, number), its logits are computed once;
with ``views: K`` training cycles through K views, so that the teacher runs K times instead of once an epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compress.data.augment import View
from compress.data.dataset import Split
from compress.files import replace_file
from compress.recipe import Distill
from compress.training import Epoch, Loss, fit


def distill(
    student: nn.Module,
    teacher: nn.Module,
    train: Split,
    validation: Split,
    settings: Distill,
    *,
    resume: Path | None = None,
    on_batch: Callable[[int, int], None] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> list[Epoch]:
    """Train ``student`` in place to answer like ``teacher``; both map raw inputs to logits (N, classes).

    ``resume``: a folder that keeps the teacher's logits and the loop's state across a kill.
    """
    logits = _TeacherLogits(teacher, train, settings, resume)
    return fit(
        student,
        train,
        validation,
        settings.training,
        loss=_loss(logits, settings.temperature, settings.weight),
        resume=resume,
        on_batch=on_batch,
        on_epoch=on_epoch,
    )


def _loss(teacher: _TeacherLogits, temperature: float, weight: float) -> Loss:
    def loss(logits: Tensor, labels: Tensor, index: Tensor, view: int) -> Tensor:
        soft = F.log_softmax(teacher.of(view)[index] / temperature, dim=1)
        apart = F.kl_div(F.log_softmax(logits / temperature, dim=1), soft, reduction="batchmean", log_target=True)
        return weight * temperature**2 * apart + (1 - weight) * F.cross_entropy(logits, labels)

    return loss


class _TeacherLogits:
    """The teacher's logits (N, classes) for one view at a time, kept on disk when views come round again."""

    def __init__(self, teacher: nn.Module, train: Split, settings: Distill, folder: Path | None) -> None:
        self._teacher, self._train, self._training = teacher.eval(), train, settings.training
        self._folder = folder if settings.training.views else None
        self._view, self._logits = -1, torch.empty(0)

    def of(self, view: int) -> Tensor:
        if view != self._view:
            self._view, self._logits = view, self._load(view)
        return self._logits

    def _load(self, view: int) -> Tensor:
        file = self._folder / f"teacher-view-{view}.npy" if self._folder else None
        if file and file.is_file():
            return torch.from_numpy(np.load(file))
        logits = self._compute(view)
        if file:
            with replace_file(file) as temporary, temporary.open("wb") as stream:
                np.save(stream, logits.numpy())
        return logits

    @torch.no_grad()
    def _compute(self, view: int, batch: int = 256) -> Tensor:
        inputs = View(self._train.inputs, self._training.augment, seed=self._training.seed, view=view)
        return torch.cat([self._teacher(inputs[index]) for index in torch.arange(len(self._train)).split(batch)])
