"""Plain stacks of 3x3 convolutions (Simonyan & Zisserman, 2014, arXiv:1409.1556), each with batch normalisation.

Example: ``convnet(classes=10, channels=1, widths=(32, 64, 96))`` has 75,000 parameters and 6.5 M multiply-accumulates
on a 1x28x28 input.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class ConvNet(nn.Module):
    """(N, channels, H, W) floats to (N, classes) logits. Every convolution but the first halves H and W."""

    def __init__(self, classes: int, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = channels
        for index, width in enumerate(widths):
            stride = 2 if index else 1
            layers += [nn.Conv2d(inputs, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            inputs = width
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.features(x)).flatten(1))


def convnet(*, classes: int, channels: int = 3, widths: Sequence[int] = (32, 64, 96)) -> ConvNet:
    """Build a :class:`ConvNet` with one convolution for every entry of ``widths``."""
    return ConvNet(classes, channels, widths)
