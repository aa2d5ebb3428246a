from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from compress.models.counts import count
from compress.models.module_times import module_times
from compress.models.resnet import resnet
from compress.models.spec import ModelSpec, save
from edge_runtime.probes.profile import profile

ARGUMENTS = {"classes": 4, "channels": 1, "stem": 8, "widths": [8, 16], "blocks": [1, 1]}


def test_a_saved_network_is_profiled_by_the_names_of_its_modules(tmp_path):
    model = resnet(classes=4, channels=1, stem=8, widths=(8, 16), blocks=(1, 1)).eval()
    save(model, ModelSpec("resnet", ARGUMENTS), tmp_path)
    array = np.zeros((2, 1, 16, 16), np.float32)
    found = profile(tmp_path / "model.safetensors", None, 1, {"input": array}, calls=8)
    modules = {name for name, module in model.named_modules() if not list(module.children())}
    assert {layer["name"] for layer in found["layers"]} <= modules
    counted = count(model, torch.zeros(2, 1, 16, 16)).macs
    assert sum(layer["macs"] or 0 for layer in found["layers"]) == 2 * counted
    assert found["method"]["layers_sum"] < 1.7 * found["method"]["profiled_p50"]


def test_a_module_that_is_called_twice_counts_twice():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 8)
            self.unused = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(self.layer(x))

    model = Twice()
    (layer,) = module_times(model, lambda: model(torch.ones(1, 8)), warm_up=1, calls=4)
    assert (layer.name, layer.calls, layer.macs, layer.type) == ("layer", 2, 2 * 64, "Linear")
    assert layer.seconds > 0


def test_hooks_are_gone_after_a_failure():
    model = nn.Linear(8, 8)
    with pytest.raises(RuntimeError):
        module_times(model, lambda: model(torch.ones(1, 3)), warm_up=1, calls=4)
    assert not model._forward_hooks
    assert not model._forward_pre_hooks
