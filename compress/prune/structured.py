"""Structured pruning: whole channels leave the network, so every runtime gains, not only those with sparse kernels.

torch-pruning (Fang et al., 2023, "DepGraph", arXiv:2301.12900) finds the channels that must go together (residual
sums, shortcuts, batch normalisation) and removes them for real. Here:

1. Channels are ranked by ``importance``, over the whole network (``scope: global``) or within each layer.
2. They are removed in ``iterations`` rounds of equal proportion until ``ratio`` of the channels are gone, or only
   ``macs`` of the multiply-accumulates are left. A layer that loses any keeps the nearest multiple of ``round_to``:
   SIMD registers hold 8 floats or more, so widths between cost the time of the next one up.
3. After each round the network is fine-tuned, if the recipe gives ``finetune``.

The layer that makes the logits keeps its outputs.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
import torch_pruning
from torch import Tensor, nn
from torch.nn import functional as F

from compress.data.dataset import Dataset, Split
from compress.errors import ModelError
from compress.files import replace_file
from compress.models.counts import count
from compress.models.spec import ModelSpec, load, save
from compress.recipe import Prune
from compress.training import Epoch, fit

# Global ranking alone may empty a layer: this share of each layer's channels goes only when all others are gone.
PROTECTED = 0.2
# A MACs target is met by bisection of the channel ratio to this precision.
PRECISION = 0.005
# Samples whose gradients rank the channels when importance is taylor.
TAYLOR_SAMPLES = 512

HISTORY = "history.json"
Importance = Callable[[torch_pruning.Group], Tensor | None]
_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Linear)


@dataclass(frozen=True)
class Pruned:
    """``model``: the smaller network; ``layers``: name -> (outputs before, after) of what shrank."""

    model: nn.Module
    layers: dict[str, tuple[int, int]]
    history: list[Epoch] = field(default_factory=list)


def prune(
    model: nn.Module,
    spec: ModelSpec,
    data: Dataset,
    settings: Prune,
    *,
    resume: Path | None = None,
    project: Path | None = None,
    seed: int = 0,
    on_batch: Callable[[int, int], None] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Pruned:
    """Remove channels from a copy of ``model`` (raw inputs to logits) and fine-tune it.

    ``resume``: a folder that keeps finished rounds across a kill. ``project``: as in :func:`compress.models.spec.load`.
    ``seed``: of random importance, whose draws depend on the round alone.
    Raises :class:`ModelError` when nothing can be pruned or the target is out of reach.
    """
    before = _widths(model)
    example = torch.from_numpy(data.train.inputs[:1])
    goal = settings.macs and settings.macs * count(model, example).macs
    start = count(model, example).macs
    history: list[Epoch] = []
    for number in range(settings.iterations):
        folder = resume / f"round-{number}" if resume else None
        if folder and (folder / "model.json").is_file():
            model, _ = load(folder, project)
            history += [Epoch(**epoch) for epoch in json.loads((folder / HISTORY).read_text())]
            continue
        torch.manual_seed(seed + number)
        rank = _Ranking(model, data.train, settings)
        if goal:
            step_goal = start * (goal / start) ** ((number + 1) / settings.iterations)
            model = _shrink_to_macs(model, rank, example, step_goal)
        else:
            model = rank.shrink(_ratio_of_a_round(settings))
        epochs: list[Epoch] = []
        if settings.finetune:
            epochs = fit(
                model,
                data.train,
                data.validation,
                settings.finetune,
                resume=folder,
                on_batch=on_batch and _part(on_batch, number, settings.iterations),
                on_epoch=on_epoch,
            )
        history += epochs
        if folder:
            with replace_file(folder / HISTORY) as temporary:
                temporary.write_text(json.dumps([asdict(epoch) for epoch in epochs]))
            save(model, spec, folder, project)  # model.json comes last: it says that the round is finished
    after = _widths(model)
    layers = {name: (width, after[name]) for name, width in before.items() if after[name] < width}
    if not layers:
        raise ModelError(
            "prune: no layer lost a channel; ask for a larger ratio (or fewer macs), or a smaller round_to than "
            f"{settings.round_to}"
        )
    return Pruned(model.eval(), layers, history)


def _ratio_of_a_round(settings: Prune) -> float:
    ratio = 1 - (1 - settings.ratio) ** (1 / settings.iterations)
    if ratio > 1 - PROTECTED:
        least = math.ceil(math.log(1 - settings.ratio) / math.log(PROTECTED))
        raise ModelError(
            f"prune.ratio: one round takes at most {1 - PROTECTED:.0%} of the channels; {settings.ratio:g} needs "
            f"iterations: {least} or more"
        )
    return ratio


class _Ranking:
    """The channels of one model in order of importance; :meth:`shrink` gives a copy without the least important."""

    def __init__(self, model: nn.Module, train: Split, settings: Prune) -> None:
        self._model, self._settings = model, settings
        self._example = torch.from_numpy(train.inputs[:2])
        self._kept = self._keep_names(train)
        self._gradients = _gradients(model, train) if settings.importance == "taylor" else None

    def shrink(self, ratio: float) -> nn.Module:
        model = copy.deepcopy(self._model).eval()
        for parameter in model.parameters():
            parameter.requires_grad_(True)
        if self._gradients:
            for name, parameter in model.named_parameters():
                parameter.grad = self._gradients[name].clone()
        modules = dict(model.named_modules())
        importance = _Protecting(_importance(self._settings.importance))
        pruner = torch_pruning.pruner.BasePruner(
            model,
            self._example,
            importance=importance,
            global_pruning=self._settings.scope == "global",
            pruning_ratio=ratio,
            ignored_layers=[modules[name] for name in self._kept],
        )
        for group in pruner.step(interactive=True):
            self._rounded(group, importance.scores, pruner.DG).prune()
        model.zero_grad(set_to_none=True)
        return model

    def _rounded(
        self, group: torch_pruning.Group, scores: dict[nn.Module, Tensor], graph: torch_pruning.DependencyGraph
    ) -> torch_pruning.Group:
        """The group with as many channels to remove as leave the nearest multiple of ``round_to``, but at least one."""
        layer, remove = group[0].dep.target.module, group[0].dep.handler
        ranked, unit = scores[layer], self._settings.round_to
        if unit == 1 or len(ranked) != graph.get_out_channels(
            layer
        ):  # grouped convolutions lose a channel of each group
            return group
        left = max(unit, round((len(ranked) - len(group[0].idxs)) / unit) * unit)
        return graph.get_pruning_group(layer, remove, ranked.argsort()[: max(0, len(ranked) - left)].tolist())

    def _keep_names(self, train: Split) -> list[str]:
        """The layers the recipe names, and the one that ran last in a forward pass: it makes the logits."""
        modules = {name: m for name, m in self._model.named_modules() if isinstance(m, _LAYERS)}
        if not modules:
            raise ModelError("prune: the model has no convolution or linear layer to prune")
        unknown = [name for name in self._settings.ignore if name not in dict(self._model.named_modules())]
        if unknown:
            raise ModelError(f"prune.ignore: no layer {unknown[0]!r}; layers are: {', '.join(modules)}")
        ran: list[str] = []
        hooks = [m.register_forward_hook(lambda *_, name=name: ran.append(name)) for name, m in modules.items()]
        try:
            with torch.no_grad():
                self._model.eval()(self._example)
        finally:
            for hook in hooks:
                hook.remove()
        return [*self._settings.ignore, ran[-1]]


def _shrink_to_macs(model: nn.Module, rank: _Ranking, example: Tensor, goal: float) -> nn.Module:
    """The least pruned network with at most ``goal`` multiply-accumulates, by bisection of the channel ratio."""
    low, high, best = 0.0, 1.0 - PROTECTED, None
    while high - low > PRECISION:
        middle = (low + high) / 2
        candidate = rank.shrink(middle)
        if count(candidate, example).macs <= goal:
            high, best = middle, candidate
        else:
            low = middle
    if best is None:
        least = count(rank.shrink(1.0 - PROTECTED), example).macs
        raise ModelError(
            f"prune.macs: one round cannot leave {goal / 1e6:.2f} M MACs, only {least / 1e6:.2f} M of the "
            f"{count(model, example).macs / 1e6:.2f} M there are; raise macs or iterations, or change round_to"
        )
    return best


def _importance(name: str) -> Importance:
    if name == "taylor":
        return torch_pruning.importance.GroupTaylorImportance()
    if name == "random":
        return torch_pruning.importance.RandomImportance()
    return torch_pruning.importance.GroupMagnitudeImportance(p=2)


class _Protecting:
    """An importance (a group of channels to a score each) with each group's best channels above all others.

    ``scores``: what each group got, by its first layer.
    """

    def __init__(self, importance: Importance) -> None:
        self._importance = importance
        self.scores: dict[nn.Module, Tensor] = {}

    def __call__(self, group: torch_pruning.Group) -> Tensor | None:
        found = self._importance(group)
        if found is None:  # nothing in this group has weights to rank
            return None
        best = found.topk(math.ceil(len(found) * PROTECTED)).indices
        found[best] += found.sum() + 1e4
        self.scores[group[0].dep.target.module] = found
        return found


def _gradients(model: nn.Module, train: Split) -> dict[str, Tensor]:
    """Gradients of the loss on the first training samples, by parameter (Molchanov et al., 2019, arXiv:1906.10771)."""
    model.eval().zero_grad(set_to_none=True)
    sample = train.take(slice(0, TAYLOR_SAMPLES))
    inputs, labels = torch.from_numpy(sample.inputs), torch.from_numpy(sample.labels)
    with torch.enable_grad():
        for index in torch.arange(len(sample)).split(128):
            F.cross_entropy(model(inputs[index]), labels[index], reduction="sum").backward()
    found = dict(model.named_parameters())
    gradients = {name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in found.items()}
    model.zero_grad(set_to_none=True)
    return gradients


def _widths(model: nn.Module) -> dict[str, int]:
    return {name: len(m.weight) for name, m in model.named_modules() if isinstance(m, _LAYERS)}


def _part(on_batch: Callable[[int, int], None], number: int, rounds: int) -> Callable[[int, int], None]:
    return lambda done, total: on_batch(number * total + done, rounds * total)
