"""Compress a trained model for a device, and say truthfully whether it paid.

``compress.run("recipe.yaml")`` does what the command line does. Each stage is a function too, on PyTorch modules that
map raw inputs to logits, or on model files::

    import compress

    recipe = compress.load_recipe("recipe.yaml")
    data = compress.load_data(recipe.data, recipe.folder)
    model, spec = compress.load_teacher(recipe.teacher, recipe.folder, data)
    pruned = compress.prune_structured(model, spec, data, compress.Prune(macs=0.3))
    compress.distill_logits(pruned.model, model, data.train, data.validation, compress.Distill())
    compress.export_onnx(pruned.model, data.test.inputs[:1], "student.onnx")

Importing this package imports nothing heavy: each name is looked up when it is first used.
"""

from __future__ import annotations

import importlib
from typing import Any

import edge_runtime  # noqa: F401  # switches the engines' telemetry off, which must come before their import

__version__ = "0.1.0"

_FACE = {
    "run": "compress.runner:run",
    "RunResult": "compress.runner:RunResult",
    "load_recipe": "compress.recipe_file:load_recipe",
    "Recipe": "compress.recipe:Recipe",
    "Training": "compress.recipe:Training",
    "FineTune": "compress.recipe:FineTune",
    "Augment": "compress.recipe:Augment",
    "Prune": "compress.recipe:Prune",
    "Distill": "compress.recipe:Distill",
    "Quantize": "compress.recipe:Quantize",
    "Store": "compress.store:Store",
    "load_data": "compress.data:load",
    "load_teacher": "compress.models:load_teacher",
    "load_model": "compress.models.spec:load",
    "save_model": "compress.models.spec:save",
    "train": "compress.training:fit",
    "prune_structured": "compress.prune.structured:prune",
    "distill_logits": "compress.distill.logits:distill",
    "export_onnx": "compress.targets.onnx:export",
    "export_openvino": "compress.targets.openvino:export",
    "quantize_model": "compress.quantize:quantize",
    "QuantizationJob": "compress.quantize.job:Job",
    "load_target": "compress.targets.target:load_target",
    "scheme": "compress.targets.scheme:scheme",
    "interleave": "edge_runtime.probes.latency:interleave",
    "ratio_interval": "compress.bench.stats:ratio_interval",
    "open_session": "edge_runtime:open_session",
    "CompressError": "compress.errors:CompressError",
}
__all__ = sorted(_FACE)


def __getattr__(name: str) -> Any:
    if name not in _FACE:
        raise AttributeError(f"module 'compress' has no attribute {name!r}")
    module, attribute = _FACE[name].split(":")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
