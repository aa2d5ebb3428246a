"""Where rounding is simulated: read from the graph that torchao makes of the annotations."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e

from compress import quiet
from compress.models.normalize import Normalized
from compress.quantize.from_scheme import torchao_quantizer
from compress.targets.scheme import scheme
from compress.targets.target import load_target

SCHEME = scheme(load_target("x86-avx2"), "onnxruntime")


def prepare(model: nn.Module, chosen=SCHEME, channels: int = 3) -> torch.fx.GraphModule:
    example = (torch.randn(2, channels, 8, 8),)
    with quiet.pytorch():
        graph = torch.export.export(model.eval(), example, dynamic_shapes=({0: torch.export.Dim("batch")},)).module()
        prepared = prepare_qat_pt2e(graph, torchao_quantizer(chosen))
    prepared(*example)
    return prepared


def rounded(graph: torch.fx.GraphModule) -> dict[str, list[bool]]:
    """By operator (of several: in order), whether each of its tensors comes from a fake quantizer."""
    found: dict[str, list] = {}
    for node in graph.graph.nodes:
        if node.op == "call_function":
            operands = node.args[0] if isinstance(node.args[0], list | tuple) else node.args
            tensors = [a for a in operands if isinstance(a, torch.fx.Node) and not str(a.target).endswith("bias")]
            flags = [a.op == "call_module" and "post_process" in a.target for a in tensors]
            found.setdefault(node.target.name().split("::")[1].split(".")[0], []).append(flags)
    answer = graph.graph.output_node().args[0][0]
    return found | {"output": [[answer.op == "call_module"]]}


def quantizers(graph: torch.fx.GraphModule, of: str) -> list:
    """The fake quantizers that read what operator ``of`` gives."""
    modules = dict(graph.named_modules(remove_duplicate=False))  # a shared one has two names
    return [
        modules[user.target]
        for node in graph.graph.nodes
        if node.op == "call_function" and of in str(node.target)
        for user in node.users
        if user.op == "call_module"
    ]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 5)

    def forward(self, x):
        y = F.relu(self.one(x))
        y = F.relu(self.two(y) + y)
        y = F.max_pool2d(y, 2)
        return self.head(F.adaptive_avg_pool2d(y, 1).flatten(1))


def test_layers_sums_and_pooling_read_rounded_values_and_logits_stay_float():
    found = rounded(prepare(Net()))
    assert found["conv2d"] == [[True, True], [True, True]]
    assert found["add"] == [[True, True]]
    assert found["max_pool2d"] == found["adaptive_avg_pool2d"] == found["flatten"] == [[True]]
    assert found["linear"] == [[True, True]]
    assert found["relu"] == [[False], [False]]  # fused with what is before them
    assert found["output"] == [[False]]


def test_what_moves_values_keeps_their_scale():
    graph = prepare(Net())
    assert quantizers(graph, "max_pool2d") == quantizers(graph, "relu")[-1:]
    assert quantizers(graph, "flatten") == quantizers(graph, "adaptive_avg_pool2d")
    assert quantizers(graph, "adaptive_avg_pool2d") != quantizers(graph, "max_pool2d")


def test_the_input_s_normalisation_stays_float():
    found = rounded(prepare(Normalized(Net(), [0.5] * 3, [0.2] * 3)))
    assert found["mul"] == [[False, False]]
    assert found["add"] == [[False, False], [True, True]]


@pytest.mark.parametrize(("bits", "largest"), [(7, 63), (8, 127)])
def test_weights_have_one_scale_a_channel_and_the_bits_of_the_scheme(bits, largest):
    graph = prepare(Net(), replace(SCHEME, weight_bits=bits))
    of_weights = [m for m in graph.modules() if getattr(m, "is_per_channel", False)]
    assert [(m.quant_min, m.quant_max, m.ch_axis, m.scale.numel()) for m in of_weights] == [
        (-largest, largest, 0, channels) for channels in (4, 4, 5)
    ]


@pytest.mark.parametrize(
    ("target", "runtime", "limits", "zero"),
    [("x86-avx2", "onnxruntime", (0, 255), None), ("nvidia-gpu", "tensorrt", (-128, 127), 0)],
)
def test_activations_have_the_type_and_zero_point_of_the_scheme(target, runtime, limits, zero):
    graph = prepare(Net(), scheme(load_target(target), runtime))
    first = quantizers(graph, "relu")[0]
    assert (first.quant_min, first.quant_max) == limits
    inputs = [m for m in graph.modules() if getattr(m, "is_per_channel", None) is False]
    assert all(int(m.zero_point) == zero for m in inputs) == (zero is not None)


class Gates(nn.Module):
    """Squeeze and excitation, a concatenation, and a matrix product whose result goes into a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.squeeze = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)
        self.one, self.two, self.head = nn.Linear(8, 6), nn.Linear(8, 6), nn.Linear(6, 2)

    def forward(self, x):
        y = F.leaky_relu(self.conv(x))
        y = y * torch.sigmoid(self.squeeze(F.adaptive_avg_pool2d(y, 1)))
        y = torch.cat([y, self.conv(x)], 1).mean((2, 3))
        return self.head(F.gelu(self.one(y)) + self.one(y) + self.two(y))


def test_gates_and_concatenations_are_rounded_and_unknown_operators_stay_float():
    found = rounded(prepare(Gates()))
    assert found["leaky_relu"] == found["sigmoid"] == found["mean"] == [[True]]
    assert found["mul"] == [[True, True]]
    assert found["cat"] == [[True, True]]
    assert found["gelu"] == [[False]]
    assert found["add"] == [[False, False], [False, False]]  # one side of each is float, so both stay so
    assert found["linear"][-1] == [True, True]


def test_operators_that_the_target_has_no_kernels_for_stay_float():
    found = rounded(prepare(Net(), replace(SCHEME, operators=("Conv", "Gemm"))))
    assert found["max_pool2d"] == found["adaptive_avg_pool2d"] == found["flatten"] == [[False]]
    assert found["conv2d"] == [[True, True], [True, True]]
    assert found["linear"] == [[True, True]]
