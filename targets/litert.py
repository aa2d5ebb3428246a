"""PyTorch to LiteRT's ``.tflite``: one input ``input`` of raw values, one output ``logits``, any batch size.

1. ``torch.export`` traces the network here.
2. The traced program goes as a file to `litert-torch`, in an environment of its own (``compress.isolated``).
3. ``tidy`` frees the batch axis and names the layers after their modules.
4. The file is run by LiteRT and compared with PyTorch before it takes its place.

LiteRT computes on channels-last tensors: the file begins with a transposition of the raw input.
"""

from __future__ import annotations

import copy
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from compress import isolated
from compress.errors import ExportError, ToolError
from compress.targets import litert_graph
from compress.targets.draft import draft
from compress.targets.onnx import compare

ENVIRONMENT = "litert"


class Wrapped(nn.Module):
    """Gives a network's input and output the names that all our exports have."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, input: Tensor) -> dict[str, Tensor]:
        return {"logits": self.network(input)}


def export(model: nn.Module, example: np.ndarray, path: Path | str) -> None:
    """Write ``model`` as a LiteRT file. ``example``: raw input (1, ...) of the data's dtype.

    Raises :class:`ExportError` when the model cannot be converted or the file computes something else, and
    :class:`compress.errors.ToolError` when the converter is not installed. Then nothing is written.
    """
    # A copy in the default memory layout: the channels-last one of training would be traced as index arithmetic.
    model = copy.deepcopy(model).to(memory_format=torch.contiguous_format).eval()
    wrapped = Wrapped(model).eval()
    # What is missing is told before any work.
    litert_graph.schema()
    isolated.require(ENVIRONMENT)
    with tempfile.TemporaryDirectory() as folder, draft(Path(path)) as file:
        program, converted = Path(folder) / "program.pt2", Path(folder) / "model.tflite"
        torch.export.save(_trace(wrapped, example), program)
        _convert(model, program, converted)
        graph = litert_graph.read(converted.read_bytes())
        litert_graph.tidy(graph, places(wrapped))
        litert_graph.write(graph, file)
        compare(model, example, file, "litert")


def _trace(wrapped: Wrapped, example: np.ndarray) -> torch.export.ExportedProgram:
    # A batch of one would be taken for a constant.
    batch = torch.from_numpy(np.ascontiguousarray(np.resize(example, (2, *example.shape[1:]))))
    free = {"input": {0: torch.export.Dim("batch")}}
    try:
        with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
            # PyTorch copying its own objects.
            warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)`", category=FutureWarning)
            return torch.export.export(wrapped, (), {"input": batch}, dynamic_shapes=free)
    except (RuntimeError, ValueError, TypeError) as error:  # what torch.export's own errors derive from
        reason = str(error).strip().splitlines()[0]
        raise ExportError(
            f"{type(wrapped.network).__name__} cannot be traced: {reason}; forward() may not depend on values or on "
            "the batch size"
        ) from error


def _convert(model: nn.Module, program: Path, out: Path) -> None:
    try:
        isolated.run(ENVIRONMENT, "litert_convert.py", program, out)
    except ToolError as error:
        raise ExportError(f"{type(model).__name__} cannot be converted to LiteRT: {error}") from error


def places(wrapped: nn.Module) -> dict[str, str]:
    """What the converter calls each module with weights to multiply, and the module's path in the network.

    It calls them by the chain of ``class_attribute`` that leads there.
    """
    chains = {"": _class(wrapped)}
    for path, module in wrapped.named_modules():
        if path:
            parent, _, attribute = path.rpartition(".")
            chains[path] = f"{chains[parent]}/{_class(module)}_{attribute}"
    return {
        chains[path]: path.removeprefix("network").removeprefix(".")
        for path, module in wrapped.named_modules()
        if getattr(getattr(module, "weight", None), "ndim", 0) > 1
    }


def _class(module: nn.Module) -> str:
    return f"{type(module).__module__}.{type(module).__qualname__}"
