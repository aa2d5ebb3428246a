"""A small network with realistic batch statistics, and its export."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from compress.data.dataset import Dataset
from compress.models.normalize import Normalized
from compress.models.resnet import resnet
from compress.targets.onnx import export


@pytest.fixture(scope="session")
def network(small_data: Dataset) -> nn.Module:
    """In the memory layout that training leaves, and in training mode."""
    torch.manual_seed(0)
    inner = resnet(classes=4, channels=1, stem=8, widths=(8, 16), blocks=(1, 1))
    for module in inner.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
    model = Normalized(inner, [0.4], [0.25]).to(memory_format=torch.channels_last).train()
    with torch.no_grad():
        for _ in range(20):
            model(torch.from_numpy(small_data.train.inputs[:128]))
    return model


@pytest.fixture(scope="session")
def exported(network, small_data, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    export(network, small_data.test.inputs[:1], path)
    return path
