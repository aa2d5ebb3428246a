"""The networks that the GPU suite runs: random weights, drawn from a seed, so that no file has to travel.

Times depend on shapes and number formats, hardly on the weights' values. Answers do: every way's are compared with
those of eager PyTorch in float32, so the weights are such that every layer counts. (A fresh residual network answers
with its shortcuts alone: its blocks end in a factor of zero.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from compress.models.resnet import resnet


@dataclass(frozen=True)
class Network:
    """``build`` makes it with PyTorch's own initial weights; ``shape`` is one input's, without the batch."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    what: str

    def make(self, seed: int) -> nn.Module:
        """The network in float32 on the CPU, ready for inference; the same for the same seed and PyTorch."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = self.build()
            for module in network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    nn.init.uniform_(module.weight, 0.2, 0.6)
                    nn.init.uniform_(module.bias, -0.1, 0.1)
                    nn.init.normal_(module.running_mean, 0, 0.1)
                    nn.init.uniform_(module.running_var, 0.5, 1.5)
        return network.eval().requires_grad_(False)

    def samples(self, count: int, seed: int) -> Tensor:
        """(count, *shape) normal float32 numbers on the CPU."""
        return torch.randn(count, *self.shape, generator=torch.Generator().manual_seed(seed))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions, the last four times as wide, and a shortcut; the 3x3 one has the stride."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.body = nn.Sequential(
            *(nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()),
            *(nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()),
            *(nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)),
        )
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def resnet50() -> nn.Module:
    """ResNet-50 (He et al., 2016), with the stride in the 3x3 convolutions as torchvision has it: 25.6 M parameters,
    4.1 G multiply-accumulates on (N, 3, 224, 224) floats; (N, 1000) logits."""
    layers, inputs = [], 64
    for group, count in enumerate((3, 4, 6, 3)):
        for index in range(count):
            layers.append(Bottleneck(inputs, 64 << group, 2 if group and not index else 1))
            inputs = 4 * (64 << group)
    stem = (nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
    return nn.Sequential(*stem, *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Linear(inputs, 1000))


def _fashion(widths: tuple[int, ...], blocks: tuple[int, ...], stem: int) -> Callable[[], nn.Module]:
    return lambda: resnet(classes=10, channels=1, stem=stem, widths=widths, blocks=blocks)


NETWORKS = {
    "student": Network(
        _fashion((8, 32, 64), (1, 2, 2), 8), (1, 28, 28), "the project's ResNet, half the teacher's channels"
    ),
    "teacher": Network(_fashion((16, 64, 128), (1, 2, 2), 16), (1, 28, 28), "the project's ResNet for Fashion-MNIST"),
    "resnet50": Network(resnet50, (3, 224, 224), "ResNet-50, 25.6 M parameters"),
    "tiny": Network(_fashion((4,), (1,), 4), (1, 8, 8), "to try the suite itself: it says nothing about a GPU"),
}
