"""A network as two plain files, never pickled: ``model.json`` (how to build it) and ``model.safetensors`` (weights).

``model.json`` names the architecture, its arguments, the input normalisation and, for a pruned network, the shapes of
the layers that differ from a fresh build. :func:`load` therefore needs no teacher and runs no code from the files.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from compress.errors import ModelError
from compress.files import replace_file
from compress.models import shapes as shapes_
from compress.models.architectures import resolve
from compress.models.callables import call
from compress.models.normalize import Normalized
from compress.models.weights import assign, read_safetensors

SCHEMA = "compress.model/1"
SPEC_FILE, WEIGHTS_FILE = "model.json", "model.safetensors"
HUGGINGFACE = "huggingface"


@dataclass(frozen=True)
class Normalization:
    """``(x * scale - mean) / std`` per channel; ``scale`` 1/255 takes pixels to 0..1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    scale: float = 1 / 255


@dataclass(frozen=True)
class ModelSpec:
    """Everything but the weights. All of it is JSON.

    ``architecture``: a name in ``ARCHITECTURES``, ``package.module:callable``, or "huggingface". ``arguments``: the
    architecture's keyword arguments; for "huggingface" the model's whole config. ``normalize``: the first layer, or
    None for networks that take the data as it is. ``shapes``: of pruned layers (:mod:`compress.models.shapes`).
    """

    architecture: str
    arguments: dict[str, Any] = field(default_factory=dict)
    normalize: Normalization | None = None
    shapes: shapes_.Shapes | None = None


def build(spec: ModelSpec, project: Path | None = None) -> nn.Module:
    """A network with random weights that takes raw inputs (N, C, H, W) of any dtype and gives logits (N, classes).

    ``project``: the recipe's folder, from which the user's own architecture can be imported.
    Raises :class:`ModelError` or :class:`RecipeError`.
    """
    model = normalized(_network(spec, project), spec.normalize)
    if spec.shapes:
        shapes_.apply(model, spec.shapes)
    return model


def normalized(network: nn.Module, normalize: Normalization | None) -> nn.Module:
    """``network`` with ``normalize`` as its first layer, if there is one."""
    if normalize is None:
        return network
    return Normalized(network, normalize.mean, normalize.std, normalize.scale)


def save(model: nn.Module, spec: ModelSpec, folder: Path | str, project: Path | None = None) -> ModelSpec:
    """Write ``model.safetensors`` and ``model.json`` to ``folder`` and return the spec written.

    The shapes of pruned layers are found by comparing ``model`` with a fresh build of ``spec``.
    """
    folder = Path(folder)
    with torch.random.fork_rng(devices=[]):  # building draws random numbers that the caller's stage must not miss
        fresh = build(replace(spec, shapes=None), project)
    spec = replace(spec, shapes=shapes_.difference(model, fresh))
    own, expected = model.state_dict(), fresh.state_dict()
    if own.keys() != expected.keys():
        strange = sorted(own.keys() ^ expected.keys())
        raise ModelError(
            f"the network is not a {spec.architecture}: {len(strange)} tensor names differ, the first is {strange[0]}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    # Copies: safetensors refuses tensors that share memory (tied weights).
    tensors = {key: value.detach().cpu().clone(memory_format=torch.contiguous_format) for key, value in own.items()}
    with replace_file(folder / WEIGHTS_FILE) as temporary:
        save_file(tensors, temporary)
    with replace_file(folder / SPEC_FILE) as temporary:
        temporary.write_text(json.dumps({"schema": SCHEMA, **asdict(spec)}, indent=1, sort_keys=True) + "\n")
    return spec


def load(folder: Path | str, project: Path | None = None) -> tuple[nn.Module, ModelSpec]:
    """The network that :func:`save` wrote, in eval mode, and its spec. Raises :class:`ModelError`."""
    folder = Path(folder)
    spec = read_spec(folder)
    with torch.random.fork_rng(devices=[]):
        model = build(spec, project)
    assign(model, read_safetensors(folder / WEIGHTS_FILE), str(folder / WEIGHTS_FILE))
    return model.eval(), spec


def read_spec(folder: Path) -> ModelSpec:
    """``model.json`` of a folder. Raises :class:`ModelError`."""
    path = folder / SPEC_FILE
    try:
        content = json.loads(path.read_text())
        if content.pop("schema") != SCHEMA:
            raise ModelError(f"{path}: another version of compress wrote it; {SCHEMA} is expected")
        if content["normalize"] is not None:
            mean, std, scale = (content["normalize"][key] for key in ("mean", "std", "scale"))
            content["normalize"] = Normalization(tuple(mean), tuple(std), scale)
        return ModelSpec(**content)
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such file; it is not the folder of a saved model") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{path}: not a model description ({error!r})") from error


def _network(spec: ModelSpec, project: Path | None) -> nn.Module:
    if spec.architecture == HUGGINGFACE:
        from compress.models.sources.huggingface import from_config

        return from_config(spec.arguments)
    network = call(resolve(spec.architecture, project), spec.arguments, spec.architecture)
    if not isinstance(network, nn.Module):
        raise ModelError(f"{spec.architecture} returned a {type(network).__name__}: it must return a torch.nn.Module")
    return network
