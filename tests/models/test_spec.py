"""Saving and loading networks: plain, normalised, pruned, and of the user's own architecture."""

import json
import textwrap

import numpy as np
import pytest
import torch
import torch_pruning
from safetensors.torch import load_file, save_file
from torch import nn

from compress.errors import ModelError, RecipeError
from compress.models import ModelSpec, Normalization, build, load, save
from compress.models.counts import count
from compress.models.shapes import shapes_of

NORMALIZE = Normalization((0.3,), (0.35,))
SPECS = {
    "resnet": ModelSpec("resnet", {"classes": 5, "channels": 1, "stem": 16, "widths": [16, 32], "blocks": [1, 1]}),
    "dscnn": ModelSpec("dscnn", {"classes": 5, "channels": 1, "stem": 16, "widths": [24, 32], "strides": [1, 2]}),
    "convnet": ModelSpec("convnet", {"classes": 5, "channels": 1, "widths": [16, 24]}, NORMALIZE),
}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def pixels(n=3):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (n, 1, 12, 12), dtype=np.uint8))


def raw(spec):
    return pixels() if spec.normalize else pixels().float() / 255


def used(spec):
    """A network whose normalisation statistics and weights are not the initial ones."""
    model = build(spec)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1, 0.1)
    model(raw(spec))
    return model.eval()


@torch.inference_mode()
def same(a, b, spec):
    return torch.equal(a(raw(spec)), b(raw(spec)))


def prune(model, spec, ratio):
    head = next(m for m in reversed(list(model.modules())) if isinstance(m, nn.Linear))
    importance = torch_pruning.importance.GroupMagnitudeImportance(p=2)
    pruner = torch_pruning.pruner.BasePruner(
        model, raw(spec)[:1], importance, pruning_ratio=ratio, ignored_layers=[head], global_pruning=True
    )
    pruner.step()
    return model.eval()


@pytest.mark.parametrize("name", SPECS)
def test_a_network_is_loaded_as_it_was_saved(tmp_path, name):
    spec = SPECS[name]
    model = used(spec)
    written = save(model, spec, tmp_path)
    loaded, read = load(tmp_path)
    assert read == written == spec
    assert not loaded.training
    assert same(model, loaded, spec)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["model.json", "model.safetensors"]


@pytest.mark.parametrize("normalize", [None, NORMALIZE])
@pytest.mark.parametrize("name", SPECS)
def test_a_pruned_network_is_loaded_without_the_teacher(tmp_path, name, normalize):
    spec = ModelSpec(name, SPECS[name].arguments, normalize)
    model = used(spec)
    before = count(model, raw(spec)[:1])
    model = prune(model, spec, 0.4)
    after = count(model, raw(spec)[:1])
    assert after.params < before.params and after.macs < before.macs
    written = save(model, spec, tmp_path)
    loaded, read = load(tmp_path)
    assert read == written and read.shapes
    assert same(model, loaded, spec)
    assert count(loaded, raw(spec)[:1]) == after
    assert shapes_of(loaded) == shapes_of(model)


def test_depthwise_convolutions_keep_one_group_for_each_channel(tmp_path):
    spec = SPECS["dscnn"]
    save(prune(used(spec), spec, 0.5), spec, tmp_path)
    loaded, _ = load(tmp_path)
    depthwise = [m for m in loaded.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert len(depthwise) == 2
    assert all(m.groups == m.in_channels == m.out_channels == len(m.weight) for m in depthwise)
    assert min(m.groups for m in depthwise) < 16


def test_a_pruned_network_can_be_built_afresh_with_finite_weights(tmp_path):
    spec = SPECS["resnet"]
    written = save(prune(used(spec), spec, 0.5), spec, tmp_path)
    assert torch.isfinite(build(written)(raw(spec))).all()


def test_a_pruned_network_trains_and_is_saved_again(tmp_path):
    spec = SPECS["dscnn"]
    save(prune(used(spec), spec, 0.5), spec, tmp_path)
    loaded, read = load(tmp_path)
    loaded.train()
    loaded(raw(spec)).sum().backward()
    torch.optim.SGD(loaded.parameters(), 0.1).step()
    save(loaded.eval(), read, tmp_path / "again")
    assert same(loaded, load(tmp_path / "again")[0], spec)


def test_channels_last_weights_are_saved(tmp_path):
    spec = SPECS["resnet"]
    model = used(spec)
    expected = model(raw(spec))
    save(model.to(memory_format=torch.channels_last), spec, tmp_path)
    torch.testing.assert_close(load(tmp_path)[0](raw(spec)), expected)


def test_saving_draws_no_random_numbers(tmp_path):
    spec = SPECS["convnet"]
    model = used(spec)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    save(model, spec, tmp_path)
    load(tmp_path)
    assert torch.equal(torch.rand(3), expected)


def test_normalisation_is_inside_the_network():
    spec = SPECS["convnet"]
    model = build(spec).eval()
    by_hand = model.model((pixels().float() / 255 - 0.3) / 0.35)
    torch.testing.assert_close(model(pixels()), by_hand)


OWN = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.scale = nn.Parameter(torch.rand(width))
        self.first = nn.Linear(144, width)
        self.last = nn.Linear(width, 5)
        self.last.bias = self.shared = nn.Parameter(torch.rand(5))

    def forward(self, x):
        return self.last(torch.relu(self.first(x.flatten(1))) * self.scale)

def net(*, width=8):
    return Net(width)

def number():
    return 5

def fails():
    raise KeyError("weights.bin")
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    name = f"net_of_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(OWN))
    monkeypatch.syspath_prepend(tmp_path.parent)  # restores sys.path afterwards
    return name


def test_an_architecture_of_the_project_with_own_parameters_and_tied_weights(tmp_path, project):
    spec = ModelSpec(f"{project}:net", {"width": 6})
    model = build(spec, tmp_path)
    save(model, spec, tmp_path / "saved", tmp_path)
    loaded, read = load(tmp_path / "saved", tmp_path)
    assert read == spec
    assert same(model, loaded, ModelSpec("", {}))
    assert str(tmp_path) not in (tmp_path / "saved" / "model.json").read_text()


def test_a_parameter_outside_any_layer_can_have_been_pruned(tmp_path, project):
    spec = ModelSpec(f"{project}:net")
    smaller = build(ModelSpec(f"{project}:net", {"width": 3}), tmp_path)
    save(smaller, spec, tmp_path / "saved", tmp_path)
    assert same(smaller, load(tmp_path / "saved", tmp_path)[0], spec)


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        (ModelSpec("resnett", {}), RecipeError, r"'resnett'; did you mean 'resnet'\? allowed: convnet"),
        (ModelSpec("resnet", {"classes": 5, "width": 3}), ModelError, "unexpected keyword argument 'width'"),
        (ModelSpec("resnet", {}), ModelError, "missing a required argument: 'classes'"),
        (ModelSpec("resnet", {"classes": -1}), ModelError, r"resnet\(classes=-1\) failed with RuntimeError"),
        (ModelSpec("dscnn", {"classes": 2, "strides": [1]}), ModelError, "3 widths but 1 strides"),
        (ModelSpec("NAME:number"), ModelError, "returned a int: it must return a torch.nn.Module"),
        (ModelSpec("NAME:fails"), ModelError, "failed with KeyError: 'weights.bin'"),
        (ModelSpec("not a:name"), RecipeError, "not of the form package.module:callable"),
    ],
)
def test_a_network_that_cannot_be_built_says_why(tmp_path, project, spec, error, message):
    spec = ModelSpec(spec.architecture.replace("NAME", project), spec.arguments)
    with pytest.raises(error, match=message):
        build(spec, tmp_path)


def test_a_network_of_another_architecture_is_not_saved(tmp_path):
    with pytest.raises(ModelError, match=r"the network is not a resnet: .* tensor names differ"):
        save(used(SPECS["dscnn"]), SPECS["resnet"], tmp_path)


@pytest.fixture
def saved(tmp_path):
    save(used(SPECS["convnet"]), SPECS["convnet"], tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a model description"),
        ("[]", "not a model description"),
        ("{}", "not a model description"),
        ('{"schema": "compress.model/9"}', "another version of compress wrote it"),
        ('{"schema": "compress.model/1", "normalize": null, "colour": 1}', "unexpected keyword argument 'colour'"),
    ],
)
def test_a_damaged_description_is_named(saved, text, message):
    (saved / "model.json").write_text(text)
    with pytest.raises(ModelError, match=rf"model\.json: .*{message}"):
        load(saved)


def test_shapes_of_another_architecture_are_refused(saved):
    content = json.loads((saved / "model.json").read_text())
    for shapes, message in (
        ({"model.absent": {"sizes": {}, "tensors": {}}}, "a layer 'model.absent'"),
        ({"model.head": {"sizes": {}, "tensors": {"gain": [1]}}}, "a tensor model.head.gain"),
    ):
        (saved / "model.json").write_text(json.dumps({**content, "shapes": shapes}))
        with pytest.raises(ModelError, match=message):
            load(saved)


def test_damaged_or_missing_weights_are_named(saved):
    file = saved / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=r"model\.safetensors: not a readable safetensors file"):
        load(saved)
    file.unlink()
    with pytest.raises(ModelError, match=r"model\.safetensors: no such file"):
        load(saved)
    (saved / "model.json").unlink()
    with pytest.raises(ModelError, match="not the folder of a saved model"):
        load(saved)


def test_weights_that_diverged_are_named(saved):
    tensors = load_file(saved / "model.safetensors")
    tensors["model.head.bias"][2] = float("nan")
    save_file(tensors, saved / "model.safetensors")
    with pytest.raises(ModelError, match=r"model\.head\.bias holds NaN"):
        load(saved)
