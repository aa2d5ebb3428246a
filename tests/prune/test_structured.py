from __future__ import annotations

import numpy as np
import pytest
import torch

from compress.errors import ModelError
from compress.models.counts import count
from compress.models.spec import ModelSpec, Normalization, build, load, save
from compress.prune.structured import prune
from compress.recipe import FineTune, Prune
from compress.training import accuracy, fit, predict

ARGUMENTS = {"classes": 4, "channels": 1, "stem": 16, "widths": [16, 32], "blocks": [1, 1]}
SPEC = ModelSpec("resnet", ARGUMENTS, Normalization((0.4,), (0.25,)))


@pytest.fixture(scope="module")
def teacher(small_data):
    torch.manual_seed(0)
    model = build(SPEC)
    fit(model, small_data.train, small_data.validation, FineTune(epochs=2, batch=32, lr=0.05))
    return model


def macs(model, data):
    return count(model, torch.from_numpy(data.test.inputs[:1])).macs


@pytest.mark.parametrize("importance", ["magnitude", "taylor", "random"])
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_a_macs_goal_is_kept_and_not_overshot_by_far(teacher, small_data, importance, scope):
    settings = Prune(macs=0.5, finetune=None, round_to=1, importance=importance, scope=scope)
    result = prune(teacher, SPEC, small_data, settings)
    assert 0.4 < macs(result.model, small_data) / macs(teacher, small_data) <= 0.5


def test_a_ratio_removes_that_share_of_the_channels(teacher, small_data):
    result = prune(teacher, SPEC, small_data, Prune(ratio=0.5, finetune=None, round_to=1, scope="layer"))
    assert result.layers["model.stem.0"] == (16, 8)
    assert result.model(torch.from_numpy(small_data.test.inputs[:3])).shape == (3, 4)


def test_what_is_left_of_a_layer_is_a_multiple_of_round_to(teacher, small_data):
    result = prune(teacher, SPEC, small_data, Prune(ratio=0.4, finetune=None, round_to=8))
    assert result.layers and all(after % 8 == 0 for _, after in result.layers.values())


def test_the_teacher_is_left_as_it_was(teacher, small_data):
    before = predict(teacher, small_data.test.inputs)
    prune(teacher, SPEC, small_data, Prune(ratio=0.5, importance="taylor", finetune=FineTune(epochs=1)))
    assert np.array_equal(predict(teacher, small_data.test.inputs), before)


def test_fine_tuning_wins_accuracy_back(teacher, small_data):
    bare = prune(teacher, SPEC, small_data, Prune(macs=0.2, finetune=None))
    tuned = prune(teacher, SPEC, small_data, Prune(macs=0.2, finetune=FineTune(epochs=3, batch=32)))
    assert accuracy(tuned.model, small_data.test) > accuracy(bare.model, small_data.test) + 0.1


def test_a_pruned_network_loads_again_without_its_teacher(teacher, small_data, tmp_path):
    result = prune(teacher, SPEC, small_data, Prune(macs=0.4, finetune=None))
    save(result.model, SPEC, tmp_path)
    again, _ = load(tmp_path)
    assert macs(again, small_data) < macs(teacher, small_data)
    assert np.array_equal(predict(again, small_data.test.inputs), predict(result.model, small_data.test.inputs))


def test_rounds_reach_the_same_goal_and_a_killed_one_is_not_repeated(teacher, small_data, tmp_path):
    settings = Prune(macs=0.4, iterations=2, finetune=FineTune(epochs=1, batch=32))
    rounds = []

    def kill_in_second(done, total):
        rounds.append(done)
        if done > total // 2 + 2:
            raise KeyboardInterrupt

    whole = prune(teacher, SPEC, small_data, settings)
    with pytest.raises(KeyboardInterrupt):
        prune(teacher, SPEC, small_data, settings, resume=tmp_path, on_batch=kill_in_second)
    first = len(rounds)
    again = prune(teacher, SPEC, small_data, settings, resume=tmp_path, on_batch=lambda *step: rounds.append(step))
    assert first == 19 and len(rounds) - first == 16  # 16 batches an epoch: only the second round ran again
    assert macs(again.model, small_data) <= 0.4 * macs(teacher, small_data)
    logits = [predict(result.model, small_data.test.inputs) for result in (again, whole)]
    assert np.allclose(*logits, atol=1e-4)


def test_a_goal_out_of_reach_names_what_can_be_changed(teacher, small_data):
    with pytest.raises(ModelError, match=r"prune\.macs.*iterations"):
        prune(teacher, SPEC, small_data, Prune(macs=0.001, finetune=None))


def test_a_ratio_that_rounds_to_nothing_is_refused(teacher, small_data):
    with pytest.raises(ModelError, match="no layer lost a channel"):
        prune(teacher, SPEC, small_data, Prune(ratio=0.01, finetune=None, round_to=64))


def test_a_ratio_that_would_empty_the_layers_asks_for_more_rounds(teacher, small_data):
    with pytest.raises(ModelError, match="iterations: 2"):
        prune(teacher, SPEC, small_data, Prune(ratio=0.9, finetune=None))


def test_an_unknown_layer_to_ignore_is_named_with_the_known_ones(teacher, small_data):
    with pytest.raises(ModelError, match=r"'stem'.*model\.stem\.0"):
        prune(teacher, SPEC, small_data, Prune(ratio=0.5, ignore=["stem"], finetune=None))


def test_ignored_layers_keep_their_channels(teacher, small_data):
    settings = Prune(ratio=0.5, finetune=None, scope="layer", ignore=["model.blocks.0.conv1"])
    assert "model.blocks.0.conv1" not in prune(teacher, SPEC, small_data, settings).layers
