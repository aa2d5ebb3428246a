"""Smaller numbers, one method a file, each ``quantize(job) -> list[str]``: the file is written, the lines tell how.

Which number formats suit a device: ``targets/scheme.py``; what each library wants to hear then: ``from_scheme.py``.
What every method is given: ``job.py``. Whether the file really computes in integers, and rightly: ``checks/``. Which
layers are to blame: ``layers/``.

Importing this package imports no library: a recipe is checked against ``METHODS`` without any.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from compress.quantize.job import Job
    from compress.recipe import Quantize


@dataclass(frozen=True)
class Method:
    """``module``: in this package. ``runtimes``: what it can write for. ``integer``: whether the scheme of the target
    matters to it. ``trains``: whether it needs the PyTorch network; ``rewrites``: runtimes for which it needs it
    otherwise, to write it anew. ``measures``: whether it times layers."""

    module: str
    runtimes: tuple[str, ...]
    integer: bool = True
    trains: bool = False
    measures: bool = False
    rewrites: tuple[str, ...] = ()


_STORED, _GRAPHS = ("onnxruntime", "openvino"), ("tensorrt", "onnxruntime-cuda")
_PACKAGES = ("aotinductor", "aotinductor-graph")
METHODS = {
    "static": Method("static", ("onnxruntime", "openvino", "tensorrt", "litert")),
    "nncf": Method("nncf", ("openvino",)),
    "dynamic": Method("dynamic", ("onnxruntime", "openvino")),
    "qat": Method("qat", ("onnxruntime", "openvino", "tensorrt"), trains=True),
    "fx": Method("fx", ("onnxruntime", "openvino", "tensorrt"), trains=True),
    "mixed": Method("mixed", ("onnxruntime", "openvino"), measures=True),
    "weights": Method("weight_only", ("onnxruntime", "openvino"), integer=False),
    "fp16": Method("half", (*_STORED, *_PACKAGES, *_GRAPHS), integer=False, rewrites=(*_PACKAGES, *_GRAPHS)),
    "bf16": Method("half", (*_STORED, *_PACKAGES), integer=False, rewrites=_PACKAGES),
}
_BY_FORMAT = {
    "mixed": "mixed",
    "int8-weights": "weights",
    "int4-weights": "weights",
    "fp16": "fp16",
    "bf16": "bf16",
}


def method(settings: Quantize) -> Method:
    """What the settings ask for."""
    return METHODS[_BY_FORMAT.get(settings.to, settings.method)]


def quantize(job: Job) -> list[str]:
    """Write ``job.out`` and tell how, in lines for the report.

    Raises :class:`~compress.errors.QuantizationError`.
    """
    return importlib.import_module(f"compress.quantize.{method(job.settings).module}").quantize(job)
