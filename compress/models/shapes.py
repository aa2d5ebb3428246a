"""What physical pruning changes in a network, and how to make the same change in a freshly built one.

Pruning removes channels, so layers keep their names and their code but have smaller tensors and smaller sizes in their
attributes. :func:`shapes_of` records both for every layer; :func:`apply` gives them to another network of the same
architecture. Nothing is pickled, and neither the teacher nor the pruner is needed to load a pruned student.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from compress.errors import ModelError

# The sizes that layers keep beside their tensors, in torch and (the attention ones) in transformers.
SIZES = (
    "in_channels", "out_channels", "groups", "in_features", "out_features", "num_features", "num_channels",
    "num_groups", "normalized_shape", "num_embeddings", "embedding_dim", "embed_dim", "num_heads", "head_dim",
    "num_attention_heads", "attention_head_size", "all_head_size",
)  # fmt: skip

Shapes = dict[str, dict[str, Any]]


def shapes_of(model: nn.Module) -> Shapes:
    """``{layer: {"sizes": {attribute: int or list}, "tensors": {name: shape}}}`` of every layer that has either."""
    shapes = {}
    for name, layer in model.named_modules():
        sizes = {key: _plain(getattr(layer, key)) for key in SIZES if _is_size(getattr(layer, key, None))}
        tensors = {key: list(tensor.shape) for key, tensor in _tensors(layer).items()}
        if sizes or tensors:
            shapes[name] = {"sizes": sizes, "tensors": tensors}
    return shapes


def difference(model: nn.Module, original: nn.Module) -> Shapes | None:
    """Entries of ``shapes_of(model)`` that ``original`` (a fresh build) does not have; None when there are none."""
    before = shapes_of(original)
    return {name: entry for name, entry in shapes_of(model).items() if before.get(name) != entry} or None


def apply(model: nn.Module, shapes: Shapes) -> None:
    """Give the layers of ``model`` these sizes, in place; changed layers get new random weights.

    Raises :class:`ModelError` when ``shapes`` belongs to another architecture.
    """
    layers = dict(model.named_modules())
    for name, entry in shapes.items():
        if name not in layers:
            raise ModelError(f"the saved shapes name a layer {name!r} that the architecture does not have")
        layer = layers[name]
        for key, value in entry["sizes"].items():
            setattr(layer, key, tuple(value) if isinstance(value, list) else value)
        present, changed = _tensors(layer), False
        for key, shape in entry["tensors"].items():
            if key not in present:
                raise ModelError(f"the saved shapes name a tensor {name}.{key} that the architecture does not have")
            if list(present[key].shape) != shape:
                changed = True
                empty = torch.zeros(shape, dtype=present[key].dtype)
                if isinstance(present[key], nn.Parameter):
                    setattr(layer, key, nn.Parameter(empty, requires_grad=present[key].requires_grad))
                else:
                    layer.register_buffer(key, empty, key not in layer._non_persistent_buffers_set)
        if changed and hasattr(layer, "reset_parameters"):
            layer.reset_parameters()


def _tensors(layer: nn.Module) -> dict[str, torch.Tensor]:
    return {**dict(layer.named_parameters(recurse=False)), **dict(layer.named_buffers(recurse=False))}


def _is_size(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(_is_size(v) for v in value)
    return isinstance(value, int) and not isinstance(value, bool)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | list) else value
