"""PyTorch's ``torch.utils.benchmark.Timer``, on the network of an ONNX file of ``models``, in eager mode.

    python torch_timer.py FILE

prints what ``Timer(...).blocked_autorange()`` finds with its defaults: blocks of calls for 0.2 s, their median.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from compress.bench.peers.base import Peer, last_figure, output

if TYPE_CHECKING:
    import torch


def measure(path: Path) -> float:
    """Seconds of its median."""
    return last_figure(output([sys.executable, __file__, path]), "median")


PEER = Peer(
    name="torch.utils.benchmark.Timer",
    reads=".onnx",
    tells="median of blocks",
    run="blocked_autorange() on the same network in PyTorch, one thread: 0.2 s",
    untold="no interval (an IQR of blocks, and a warning when it is wide); percentiles of blocks, not of calls; "
    "PyTorch only",
    measure=measure,
)


def chain(layers: int) -> torch.nn.Module:
    """The network of ``models.chain``, with random weights."""
    import torch

    from compress.bench.peers.models import CHANNELS

    pairs = [(torch.nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), torch.nn.ReLU()) for _ in range(layers)]
    return torch.nn.Sequential(*(module for pair in pairs for module in pair)).eval()


def network(path: Path) -> torch.nn.Module:
    """The network of an ONNX file that ``models.chain`` made, with its weights."""
    import onnx
    import torch

    arrays = [torch.from_numpy(onnx.numpy_helper.to_array(one).copy()) for one in onnx.load(path).graph.initializer]
    model = chain(len(arrays) // 2)
    model.load_state_dict(dict(zip(model.state_dict(), arrays, strict=True)))
    return model


def main(path: str) -> None:
    import onnx
    import torch
    from torch.utils.benchmark import Timer

    shape = [axis.dim_value for axis in onnx.load(path).graph.input[0].type.tensor_type.shape.dim]
    names = {"model": network(Path(path)), "x": torch.randn(shape)}
    with torch.inference_mode():
        found = Timer("model(x)", globals=names, num_threads=1).blocked_autorange()
    print(json.dumps({"median": found.median, "iqr": found.iqr, "blocks": len(found.times)}))


if __name__ == "__main__":
    main(sys.argv[1])
