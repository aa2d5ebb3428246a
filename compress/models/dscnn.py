"""Depthwise separable networks: MobileNet (Howard et al., 2017, arXiv:1704.04861) at the size of DS-CNN, its version
for microcontrollers (Zhang et al., 2017, arXiv:1711.07128).

A depthwise 3x3 convolution filters every channel alone and a 1x1 convolution mixes them: eight to nine times fewer
multiply-accumulates than a full 3x3 convolution of the same width.

Example: ``dscnn(classes=10, channels=1, stem=32, widths=(64, 128, 128), strides=(1, 2, 2))`` has 31,000 parameters and
4.6 M multiply-accumulates on a 1x28x28 input.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class Separable(nn.Sequential):
    """A depthwise 3x3 convolution, then a pointwise one, each with batch normalisation and ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False),
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            nn.Conv2d(inputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        )


class DSCNN(nn.Module):
    """(N, channels, H, W) floats to (N, classes) logits."""

    def __init__(
        self, classes: int, channels: int, stem: int, widths: Sequence[int], strides: Sequence[int], stem_stride: int
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, stem, 3, stem_stride, 1, bias=False), nn.BatchNorm2d(stem), nn.ReLU()
        )
        inputs = [stem, *widths[:-1]]
        self.blocks = nn.Sequential(*map(Separable, inputs, widths, strides))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.blocks(self.stem(x))).flatten(1))


def dscnn(
    *,
    classes: int,
    channels: int = 3,
    stem: int = 32,
    widths: Sequence[int] = (64, 128, 128),
    strides: Sequence[int] = (1, 2, 2),
    stem_stride: int = 1,
) -> DSCNN:
    """Build a :class:`DSCNN`; ``widths`` and ``strides`` have one entry for every block."""
    if len(widths) != len(strides):
        raise ValueError(f"{len(widths)} widths but {len(strides)} strides: give one of each for every block")
    return DSCNN(classes, channels, stem, widths, strides, stem_stride)
