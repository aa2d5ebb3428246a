"""Teachers from checkpoints of all kinds, fresh networks, and transformers."""

import pickle
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch_pruning
from safetensors.torch import save_file
from torch import nn

from compress.data import Dataset, Split
from compress.errors import ModelError, RecipeError
from compress.models import ModelSpec, build, load, load_teacher, save
from compress.models.counts import count
from compress.models.sources.checkpoint import rename
from compress.recipe import Normalize, Teacher, Training

ARGUMENTS = {"widths": [8, 12]}
FULL = {"classes": 3, "channels": 1, **ARGUMENTS}
NORMALIZE = Normalize(mean=(0.3,), std=(0.35,))


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def dataset(channels=1, size=(32, 32), classes=("cat", "dog", "emu"), dtype=np.uint8):
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (6, channels, *size)).astype(dtype), np.arange(6) % len(classes))
    return Dataset("animals", split, split, split, split, classes)


def net(seed=1):
    torch.manual_seed(seed)
    return build(ModelSpec("convnet", FULL)).eval()


def teacher(**changes):
    return Teacher(**{"architecture": "convnet", "arguments": ARGUMENTS, "normalize": NORMALIZE, **changes})


@torch.inference_mode()
def logits(model, data):
    return model(torch.from_numpy(data.test.inputs))


@torch.inference_mode()
def expected(network, data):
    return network((torch.from_numpy(data.test.inputs).float() / 255 - 0.3) / 0.35)


def prefixed(prefix):
    return {prefix + key: value for key, value in net().state_dict().items()}


CHECKPOINTS = {
    "plain.safetensors": lambda path: save_file(net().state_dict(), path),
    "plain.pt": lambda path: torch.save(net().state_dict(), path),
    "parallel.pth": lambda path: torch.save(prefixed("module."), path),
    "lightning.ckpt": lambda path: torch.save({"epoch": 3, "state_dict": prefixed("model.")}, path),
    "compiled.pth": lambda path: torch.save({"model": prefixed("_orig_mod.module."), "optimizer": {"lr": 0.1}}, path),
    "old.safetensors": lambda path: save_file(
        {k: v for k, v in net().state_dict().items() if "num_batches" not in k}, path
    ),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_checkpoint_gives_the_network_that_was_trained(tmp_path, name):
    CHECKPOINTS[name](tmp_path / name)
    model, spec = load_teacher(teacher(checkpoint=name), tmp_path, dataset())
    torch.testing.assert_close(logits(model, dataset()), expected(net(), dataset()))
    assert not model.training
    assert (spec.architecture, spec.arguments) == ("convnet", FULL)
    save(model, spec, tmp_path / "saved")
    assert torch.equal(logits(load(tmp_path / "saved")[0], dataset()), logits(model, dataset()))


def test_paths_may_start_at_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    save_file(net().state_dict(), tmp_path / "t.safetensors")
    load_teacher(teacher(checkpoint="~/t.safetensors"), tmp_path / "elsewhere", dataset())
    write(tmp_path / "hf", "vit", processor())
    load_teacher(Teacher(huggingface="~/hf"), tmp_path / "elsewhere", dataset(channels=3))


def test_prefixes_that_belong_to_the_network_stay():
    tensors = {"model.a": torch.zeros(1), "model.b": torch.zeros(1)}
    assert rename(tensors, ["model.a", "model.b"]).keys() == tensors.keys()
    assert rename(tensors, ["a", "b"]).keys() == {"a", "b"}
    assert rename(tensors, ["x"]).keys() == {"a", "b"}


def test_a_student_of_an_earlier_run_is_a_teacher_with_its_own_description(tmp_path):
    spec = ModelSpec("convnet", {**FULL, "widths": [4, 4]})
    smaller = build(spec).eval()
    save(smaller, ModelSpec("convnet", FULL), tmp_path / "run")
    settings = teacher(checkpoint="run/model.safetensors", normalize=None)
    model, read = load_teacher(settings, tmp_path, dataset(dtype=np.float32))
    assert read.shapes
    data = dataset(dtype=np.float32)
    assert torch.equal(logits(model, data), logits(smaller, data))
    with pytest.raises(ModelError, match="leave it out"):
        load_teacher(teacher(checkpoint="run/model.safetensors"), tmp_path, data)
    with pytest.raises(ModelError, match="says convnet"):
        load_teacher(teacher(checkpoint="run/model.safetensors", architecture="resnet"), tmp_path, data)


def test_missing_unexpected_and_wrong_shaped_names_are_listed_and_counted(tmp_path):
    tensors = net().state_dict()
    tensors["extra"] = torch.zeros(1)
    tensors["head.weight"] = torch.zeros(3, 20)
    for key in [k for k in tensors if k.startswith("features.")]:
        del tensors[key]
    save_file(tensors, tmp_path / "t.safetensors")
    message = (
        r"t\.safetensors: does not fit the architecture.* 10 missing: features\.0\.weight, .*\.\.\.; "
        r"1 unexpected: extra; 1 of another shape: head\.weight \(3x20 in the file, 3x12 in the network\)"
    )
    with pytest.raises(ModelError, match=message):
        load_teacher(teacher(checkpoint="t.safetensors"), tmp_path, dataset())


class Whole(nn.Module):
    """Pickled whole: what torch.save(model) writes."""


def test_a_pickle_that_needs_code_is_refused_without_running_it(tmp_path):
    torch.save(Whole(), tmp_path / "whole.pt")
    with pytest.raises(ModelError, match=r"whole\.pt: refused, because reading it would run code"):
        load_teacher(teacher(checkpoint="whole.pt"), tmp_path, dataset())
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Touch(str(tmp_path / "touched"))))
    with pytest.raises(ModelError, match=r"evil\.pth: refused"):
        load_teacher(teacher(checkpoint="evil.pth"), tmp_path, dataset())
    assert not (tmp_path / "touched").exists()


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.pt", lambda p: torch.save({"epoch": 3}, p), "no state dict in it, only epoch"),
        ("t.pt", lambda p: torch.save([1, 2], p), "holds a list, not a state dict"),
        ("t.pt", lambda p: torch.save({}, p), "no state dict in it, only nothing"),
        ("t.pt", lambda p: torch.save(net().state_dict(), p) or truncate(p), r"t\.pt: not a readable checkpoint"),
        ("t.pt", lambda p: p.write_bytes(b""), r"t\.pt: not a readable checkpoint"),
        ("t.safetensors", lambda p: p.write_bytes(b"no"), "not a readable safetensors file"),
        ("t.npy", lambda p: p.write_bytes(b"no"), r"\.npy is not a kind of checkpoint; use one of \.safetensors"),
        ("t.pt", lambda p: None, r"t\.pt: no such file"),
    ],
)
def test_files_that_are_no_checkpoints_are_named(tmp_path, name, content, message):
    content(tmp_path / name)
    with pytest.raises(ModelError, match=message):
        load_teacher(teacher(checkpoint=name), tmp_path, dataset())


def truncate(path):
    path.write_bytes(path.read_bytes()[:1000])


def test_a_fresh_network_depends_on_the_training_seed_alone(tmp_path):
    fresh = lambda seed: load_teacher(teacher(train=Training(seed=seed)), tmp_path, dataset())[0]  # noqa: E731
    first = fresh(3)
    torch.rand(5)
    assert torch.equal(logits(first, dataset()), logits(fresh(3), dataset()))
    assert not torch.equal(logits(first, dataset()), logits(fresh(4), dataset()))


@pytest.mark.parametrize(
    ("settings", "data", "error", "message"),
    [
        (teacher(arguments={**ARGUMENTS, "classes": 4}), dataset(), ModelError, r"gives \(1, 4\) .* \(1, 3\) logits"),
        (teacher(arguments={**ARGUMENTS, "channels": 3}), dataset(), ModelError, "the teacher fails on an input of"),
        (teacher(normalize=None), dataset(), ModelError, "uint8 pixels need teacher.normalize"),
        (
            teacher(normalize=Normalize(mean=(0.3,) * 3, std=(0.3,) * 3)),
            dataset(),
            ModelError,
            "teacher.normalize has mean and std for 3 channels but animals has 1",
        ),
        (teacher(normalize=Normalize(mean=(0,), std=(1e-44,))), dataset(), ModelError, "gives NaN or infinity"),
        (teacher(architecture="convnett"), dataset(), RecipeError, "did you mean 'convnet'"),
    ],
)
def test_a_teacher_that_does_not_fit_the_data_is_refused_before_training(tmp_path, settings, data, error, message):
    with pytest.raises(error, match=message):
        load_teacher(settings.model_copy(update={"train": Training()}), tmp_path, data)


def test_an_onnx_teacher_is_not_loaded_here(tmp_path):
    with pytest.raises(ModelError, match="an onnx teacher is no PyTorch network"):
        load_teacher(Teacher(onnx="t.onnx"), tmp_path, dataset())


transformers = pytest.importorskip("transformers")

CONFIGS = {
    "resnet": lambda **k: transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], **k),
    "vit": lambda **k: transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
        **k,
    ),
    "mobilenet": lambda **k: transformers.MobileNetV2Config(depth_multiplier=0.25, finegrained_output=False, **k),
}
NAMES = {"id2label": {0: "cat", 1: "dog", 2: "emu"}, "label2id": {"cat": 0, "dog": 1, "emu": 2}}


def write(folder, kind="vit", processor=None, **config):
    model = transformers.AutoModelForImageClassification.from_config(CONFIGS[kind](**(config or NAMES))).eval()
    model.save_pretrained(folder)
    if processor is not None:
        processor.save_pretrained(folder)
    return model


def processor(**changes):
    settings = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4], "do_resize": False, **changes}
    return transformers.ViTImageProcessorPil(**settings)


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@torch.inference_mode()
def by_the_book(model, process, data):
    batch = process(images=list(data.test.inputs), return_tensors="pt", input_data_format="channels_first")
    return model(**batch).logits


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_transformers_classifier_takes_raw_pixels_and_is_saved_without_its_folder(tmp_path, kind):
    data = dataset(channels=3)
    original = write(tmp_path / "hf", kind)
    original.train()(torch.randn(8, 3, 32, 32))  # statistics with which no signal dies out
    original.eval().save_pretrained(tmp_path / "hf")
    processor().save_pretrained(tmp_path / "hf")
    model, spec = load_teacher(Teacher(huggingface="hf"), tmp_path, data)
    torch.testing.assert_close(logits(model, data), by_the_book(original, processor(), data), atol=1e-5, rtol=1e-5)
    save(model, spec, tmp_path / "saved")
    loaded, read = load(tmp_path / "saved")
    assert read == spec and read.shapes is None
    assert torch.equal(logits(loaded, data), logits(model, data))
    assert str(tmp_path) not in (tmp_path / "saved" / "model.json").read_text()


@pytest.mark.filterwarnings("ignore:Unwrapped parameters:UserWarning")  # the transformer's position embeddings
@pytest.mark.parametrize(("kind", "layers"), [("resnet", nn.Conv2d), ("mobilenet", nn.Conv2d), ("vit", nn.Linear)])
def test_a_pruned_transformers_classifier_is_saved_and_loaded(tmp_path, kind, layers):
    """Convolutions everywhere; in the transformer the layer between the two of the feed-forward part."""
    data = dataset(channels=3)
    write(tmp_path / "hf", kind, processor())
    model, spec = load_teacher(Teacher(huggingface="hf"), tmp_path, data)
    example = torch.from_numpy(data.test.inputs[:1])
    pruned = [m for n, m in model.named_modules() if isinstance(m, layers) and (kind != "vit" or m.out_features == 32)]
    ignored = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d) and not any(m is p for p in pruned)]
    before = count(model, example)
    torch_pruning.pruner.BasePruner(
        model, example, torch_pruning.importance.GroupMagnitudeImportance(), pruning_ratio=0.5, ignored_layers=ignored
    ).step()
    assert count(model, example).macs < 0.9 * before.macs
    save(model, spec, tmp_path / "saved")
    loaded, read = load(tmp_path / "saved")
    assert read.shapes
    assert torch.equal(logits(loaded, data), logits(model, data))


@pytest.mark.parametrize("changes", [{}, {"rescale_offset": True}, {"include_top": False}, {"do_normalize": False}])
def test_the_processor_of_efficientnet_is_followed(tmp_path, changes):
    data = dataset(channels=3)
    process = transformers.EfficientNetImageProcessorPil(
        image_mean=[0.5, 0.4, 0.3], image_std=[0.2, 0.3, 0.4], do_resize=False, do_center_crop=False, **changes
    )
    original = write(tmp_path / "hf", "vit", process)
    model, _ = load_teacher(Teacher(huggingface="hf"), tmp_path, data)
    torch.testing.assert_close(logits(model, data), by_the_book(original, process, data), atol=1e-5, rtol=1e-5)


def test_a_processor_that_does_not_rescale_is_followed(tmp_path):
    write(tmp_path / "hf", "vit", processor(do_rescale=False, do_normalize=False))
    _, spec = load_teacher(Teacher(huggingface="hf"), tmp_path, dataset(channels=3))
    assert spec.normalize.scale == 1.0
    assert set(spec.normalize.mean) == {0.0} and set(spec.normalize.std) == {1.0}


def test_the_recipes_normalisation_overrules_the_processor(tmp_path):
    write(tmp_path / "hf", "vit", processor())
    settings = Teacher(huggingface="hf", normalize=Normalize(mean=(0.1,), std=(0.2,)))
    _, spec = load_teacher(settings, tmp_path, dataset(channels=3))
    assert spec.normalize.mean == (0.1,)


def test_without_a_processor_pixels_need_a_normalisation(tmp_path):
    write(tmp_path / "hf")
    with pytest.raises(ModelError, match=r"no preprocessor_config\.json; give teacher\.normalize"):
        load_teacher(Teacher(huggingface="hf"), tmp_path, dataset(channels=3))
    _, spec = load_teacher(Teacher(huggingface="hf"), tmp_path, dataset(channels=3, dtype=np.float32))
    assert spec.normalize is None


def test_blue_green_red_teachers_are_refused(tmp_path):
    write(tmp_path / "hf", "vit", transformers.MobileViTImageProcessorPil())
    with pytest.raises(ModelError, match="wants blue, green, red pixels"):
        load_teacher(Teacher(huggingface="hf"), tmp_path, dataset(channels=3))


def test_other_classes_are_refused(tmp_path):
    write(tmp_path / "five", "vit", processor(), num_labels=5)
    with pytest.raises(ModelError, match="five tells 5 classes apart, the data has 3"):
        load_teacher(Teacher(huggingface="five"), tmp_path, dataset(channels=3))
    write(tmp_path / "hf", "vit", processor())
    with pytest.raises(ModelError, match="in another order: its class 0 is 'cat', the data's is 'Dog'"):
        load_teacher(Teacher(huggingface="hf"), tmp_path, dataset(channels=3, classes=("Dog", "cat", "emu")))
    load_teacher(Teacher(huggingface="hf"), tmp_path, dataset(channels=3, classes=("x", "y", "z")))


def test_another_picture_size_is_refused(tmp_path):
    write(tmp_path / "hf", "vit", processor())
    with pytest.raises(ModelError, match=r"the teacher fails on an input of animals .*ValueError"):
        load_teacher(Teacher(huggingface="hf"), tmp_path, dataset(channels=3, size=(16, 16)))


def test_grey_data_for_a_colour_teacher_is_refused(tmp_path):
    write(tmp_path / "hf", "vit", processor())
    with pytest.raises(ModelError, match="the image processor has mean and std for 3 channels but animals has 1"):
        load_teacher(Teacher(huggingface="hf"), tmp_path, dataset())


def test_a_backbone_without_a_trained_classifier_is_refused(tmp_path):
    transformers.ViTModel(CONFIGS["vit"](**NAMES), add_pooling_layer=False).save_pretrained(tmp_path / "hf")
    with pytest.raises(ModelError, match=r"has no weights for 2 tensors, the first is classifier\.bias"):
        load_teacher(Teacher(huggingface="hf"), tmp_path, dataset(channels=3))


def test_folders_without_a_classifier_and_unknown_ids_are_named(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"teacher\.huggingface: .*empty: cannot be loaded: "):
        load_teacher(Teacher(huggingface="empty"), tmp_path, dataset(channels=3))
    with pytest.raises(ModelError, match=r"owner/none: cannot be loaded \(there is no folder .*none either\)"):
        load_teacher(Teacher(huggingface="owner/none"), tmp_path, dataset(channels=3))


def test_settings_need_only_look_like_the_recipes(tmp_path):
    settings = SimpleNamespace(
        architecture="convnet", arguments=None, checkpoint=None, huggingface=None, normalize=NORMALIZE, train=Training()
    )
    model, _ = load_teacher(settings, tmp_path, dataset())
    assert logits(model, dataset()).shape == (6, 3)


def test_loading_a_transformers_teacher_writes_nothing_to_the_terminal(tmp_path, capfd):
    write(tmp_path / "hf", next(iter(CONFIGS)))
    processor().save_pretrained(tmp_path / "hf")
    capfd.readouterr()
    with warnings.catch_warnings(record=True) as warned:
        load_teacher(Teacher(huggingface="hf"), tmp_path, dataset(channels=3))
    assert tuple(capfd.readouterr()) == ("", "")
    assert not warned
