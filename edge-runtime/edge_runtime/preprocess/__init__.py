"""From what a person or a client has to what a model takes, as the bundle's manifest says: one kind a module.

Normalisation is in the graph, so what is left is to decode, to bring to the model's size, and to check. Each module has
``make(contents)``, called once when a model is opened, which returns what is called for every item: ``prepare(item)``
gives an array (1, ...) of the input's dtype. Items come from the network: all refuse with InputError what they cannot
read, and none of them takes a text for the path of a file.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edge_runtime.errors import ManifestError

if TYPE_CHECKING:
    import numpy as np

    from edge_runtime.bundle.contents import Contents

Prepare = Callable[[Any], "np.ndarray"]

KINDS = {
    "image": "edge_runtime.preprocess.image",
    "text": "edge_runtime.preprocess.text",
    "tensor": "edge_runtime.preprocess.tensor",
}


def make(contents: Contents) -> Prepare:
    """What prepares one item for this bundle's model.

    Raises ManifestError when the manifest's preprocessing does not give what its model takes, ExtraMissingError when a
    library is not installed.
    """
    manifest = contents.manifest
    kind = manifest.preprocess.get("kind")
    if kind not in KINDS:
        raise ManifestError(f"{manifest.name}: unknown preprocessing {kind!r}; this version knows {', '.join(KINDS)}")
    if len(manifest.inputs) != 1:
        raise ManifestError(
            f"{manifest.name}: preprocessing gives one array, and this model takes {len(manifest.inputs)}; "
            "call infer with all of them"
        )
    return importlib.import_module(KINDS[kind]).make(contents)
