"""What an inference cannot do without: multiplications, and bytes that have to move.

Counted in the file that is run, for inputs of given shapes: every product of matrices (convolutions, fully connected
layers, products of two activations) with the precision it is stored in, each weight once, inputs and outputs once.
Everything else (additions, activations, pooling, changes of layout) is not counted, so a cost is too small rather than
too large. One kind of file a module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from compress.errors import CompressError, ModelError

Shapes = Mapping[str, Sequence[int]]
"""Of inputs, by name; free axes of an input that is not named have size 1."""

WIDTHS = {"int8": 1, "float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}
"""Bytes of a number."""


@dataclass(frozen=True)
class Product:
    """A convolution or a product of matrices. ``moved``: bytes of its activations, in and out."""

    name: str
    macs: int
    precision: str
    moved: int


@dataclass(frozen=True)
class Cost:
    """Of one inference. ``weights``, ``inputs``, ``outputs``: bytes. ``uncounted``: operators that multiply too, whose
    multiplications are not known."""

    products: tuple[Product, ...]
    weights: int
    inputs: int
    outputs: int
    uncounted: tuple[str, ...] = ()

    @property
    def macs(self) -> int:
        return sum(product.macs for product in self.products)

    @property
    def largest(self) -> int:
        """Bytes of the activations of the product that has the most."""
        return max((product.moved for product in self.products), default=0)


def cost(path: Path, inputs: Shapes | None = None) -> Cost:
    """Of an ``.onnx``, ``.xml`` (OpenVINO) or ``.tflite`` file. Raises :class:`ModelError` for one that is damaged, of
    another kind (of those nothing is known), or whose shapes cannot be told."""
    if path.suffix == ".onnx":
        from compress.bench.roofline import cost_onnx as reader
    elif path.suffix == ".xml":
        from compress.bench.roofline import cost_openvino as reader
    elif path.suffix == ".tflite":
        from compress.bench.roofline import cost_litert as reader
    else:
        raise ModelError(f"{path}: multiplications and bytes can be counted in .onnx, .xml and .tflite files only")
    try:
        return reader.read(path, inputs or {})
    except CompressError:
        raise
    except (OSError, ValueError, KeyError, IndexError, RuntimeError) as error:
        raise ModelError(f"{path}: its multiplications cannot be counted ({error})") from error
