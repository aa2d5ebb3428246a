"""Residual networks for small pictures (He et al., 2016, arXiv:1512.03385, the CIFAR variant: a 3x3 stem, no max-pool).

Example: ``resnet(classes=10, channels=1, stem=16, widths=(16, 64, 128), blocks=(1, 2, 2))`` has 653,000 parameters
and 53 M multiply-accumulates on a 1x28x28 input.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: the identity, or a 1x1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        nn.init.zeros_(self.bn2.weight)  # each block starts as its shortcut (Goyal et al., 2017, section 5.1)
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet(nn.Module):
    """(N, channels, H, W) floats to (N, classes) logits. Every group of blocks after the first halves H and W."""

    def __init__(
        self, classes: int, channels: int, stem: int, widths: Sequence[int], blocks: Sequence[int], stem_stride: int
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, stem, 3, stem_stride, 1, bias=False), nn.BatchNorm2d(stem), nn.ReLU()
        )
        layers, inputs = [], stem
        for group, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            for index in range(count):
                layers.append(BasicBlock(inputs, width, 2 if group and not index else 1))
                inputs = width
        self.blocks = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.blocks(self.stem(x))).flatten(1))


def resnet(
    *,
    classes: int,
    channels: int = 3,
    stem: int = 16,
    widths: Sequence[int] = (16, 32, 64),
    blocks: Sequence[int] = (1, 1, 1),
    stem_stride: int = 1,
) -> ResNet:
    """Build a :class:`ResNet`; ``widths`` and ``blocks`` have one entry for every resolution."""
    return ResNet(classes, channels, stem, widths, blocks, stem_stride)
