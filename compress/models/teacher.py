"""The recipe's ``teacher:`` section to a network that takes the data's raw inputs and gives its logits.

Whatever the source, the result is tried on one sample before anything expensive starts: a teacher for other classes,
channels or picture sizes is an error here, not an accuracy of 10 % an hour later.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from compress.data.dataset import Dataset
from compress.errors import ModelError
from compress.models.architectures import with_defaults
from compress.models.sources import checkpoint, huggingface
from compress.models.spec import (
    SPEC_FILE,
    WEIGHTS_FILE,
    ModelSpec,
    Normalization,
    build,
    load,
    normalized,
    read_spec,
)
from compress.models.weights import assign
from compress.recipe_names import located


def load_teacher(settings: Any, folder: Path, dataset: Dataset) -> tuple[nn.Module, ModelSpec]:
    """The teacher of ``settings`` (:class:`compress.recipe.Teacher`) in eval mode, and its spec.

    ``folder``: the recipe's. With ``train`` the network is a fresh one, the same for the same ``train.seed``. ONNX
    teachers are not modules and are not loaded here. Raises :class:`ModelError` or :class:`RecipeError`.
    """
    normalize = _normalization(settings.normalize, dataset)
    if settings.huggingface:
        model, spec = _from_huggingface(settings.huggingface, folder, normalize, dataset)
    elif settings.checkpoint:
        model, spec = _from_checkpoint(settings, folder, normalize, dataset)
    elif settings.train:
        spec = _spec(settings, folder, normalize, dataset)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.train.seed)
            model = build(spec, folder)
    else:
        raise ModelError("teacher: give one of checkpoint, huggingface, train (an onnx teacher is no PyTorch network)")
    _try(model.eval(), dataset)
    return model, spec


def _from_huggingface(
    name: str, folder: Path, normalize: Normalization | None, dataset: Dataset
) -> tuple[nn.Module, ModelSpec]:
    pixels = dataset.test.inputs.dtype.kind == "u"
    network, spec = huggingface.load(name, folder, normalize, pixels)
    _check_channels(spec.normalize, dataset, "the image processor")
    _check_labels(huggingface.label_names(spec.arguments), dataset.classes, name)
    return normalized(network, spec.normalize), spec


def _from_checkpoint(
    settings: Any, folder: Path, normalize: Normalization | None, dataset: Dataset
) -> tuple[nn.Module, ModelSpec]:
    path = located(settings.checkpoint, folder)
    if path.name == WEIGHTS_FILE and (path.parent / SPEC_FILE).is_file():
        return _from_saved(path.parent, folder, settings.architecture, normalize)
    spec = _spec(settings, folder, normalize, dataset)
    tensors = checkpoint.read(path)
    with torch.random.fork_rng(devices=[]):
        network = build(ModelSpec(spec.architecture, spec.arguments), folder)
    assign(network, checkpoint.rename(tensors, network.state_dict()), str(path))
    return normalized(network, normalize), spec


def _from_saved(
    saved: Path, project: Path, architecture: str | None, normalize: Normalization | None
) -> tuple[nn.Module, ModelSpec]:
    """A model that compress wrote, perhaps pruned: its own ``model.json`` knows more than the recipe can say."""
    own = read_spec(saved)
    if architecture not in (None, own.architecture):
        raise ModelError(f"teacher.architecture is {architecture}, but {saved / SPEC_FILE} says {own.architecture}")
    if normalize not in (None, own.normalize):
        raise ModelError(f"teacher.normalize is {normalize}, {saved / SPEC_FILE} says {own.normalize}; leave it out")
    return load(saved, project)


def _spec(settings: Any, folder: Path, normalize: Normalization | None, dataset: Dataset) -> ModelSpec:
    classes, channels = len(dataset.classes), dataset.input_shape[0]
    arguments = with_defaults(
        settings.architecture, dict(settings.arguments or {}), classes=classes, channels=channels, project=folder
    )
    return ModelSpec(settings.architecture, arguments, normalize)


def _normalization(settings: Any, dataset: Dataset) -> Normalization | None:
    if settings is None:
        return None
    normalize = Normalization(tuple(settings.mean), tuple(settings.std), settings.scale)
    _check_channels(normalize, dataset, "teacher.normalize")
    return normalize


def _check_channels(normalize: Normalization | None, dataset: Dataset, who: str) -> None:
    channels = dataset.input_shape[0]
    if normalize and (len(normalize.mean) not in (1, channels) or len(normalize.std) not in (1, channels)):
        given = max(len(normalize.mean), len(normalize.std))
        raise ModelError(
            f"{who} has mean and std for {given} channels but {dataset.name} has {channels}; give one value for each "
            "channel, or load the data with other channels (data.options.channels)"
        )


def _check_labels(names: Sequence[str], classes: Sequence[str], teacher: str) -> None:
    if len(names) != len(classes):
        raise ModelError(
            f"teacher.huggingface: {teacher} tells {len(names)} classes apart, the data has {len(classes)}; "
            "use a teacher trained on these classes"
        )
    given, wanted = [[str(n).strip().lower() for n in each] for each in (names, classes)]
    if given != wanted and sorted(given) == sorted(wanted):
        place = next(i for i, (a, b) in enumerate(zip(given, wanted, strict=True)) if a != b)
        raise ModelError(
            f"teacher.huggingface: {teacher} has the data's classes in another order: its class {place} is "
            f"{names[place]!r}, the data's is {classes[place]!r}; number the data's classes as the teacher does"
        )


@torch.inference_mode()
def _try(model: nn.Module, dataset: Dataset) -> None:
    sample = torch.from_numpy(dataset.calibration.inputs[:1].copy())
    what = f"an input of {dataset.name} {tuple(sample.shape)} {dataset.calibration.inputs.dtype}"
    try:
        logits = model(sample)
    except Exception as error:  # the network's own code; most often a shape or a dtype that does not fit
        hint = "; uint8 pixels need teacher.normalize" if "dtype" in str(error) or "type" in str(error) else ""
        raise ModelError(f"the teacher fails on {what}: {type(error).__name__}: {error}{hint}") from error
    if not isinstance(logits, torch.Tensor) or logits.shape != (1, len(dataset.classes)):
        given = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise ModelError(
            f"the teacher gives {given} for {what}; it must give (1, {len(dataset.classes)}) logits, one for each class"
        )
    if not torch.isfinite(logits).all():
        raise ModelError(f"the teacher gives NaN or infinity for {what}: wrong weights, or a wrong teacher.normalize")
