from __future__ import annotations

import numpy as np
import pytest
import torch

from compress.models.convnet import convnet
from compress.models.normalize import Normalized
from compress.recipe import Augment, Training
from compress.training import accuracy, fit, one_cycle, predict

SETTINGS = Training(epochs=4, batch=32, lr=0.05, ema=0.9, augment=Augment(flip=True, shift=1))


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return Normalized(convnet(classes=4, channels=1, widths=(8, 16)), [0.4], [0.25])


class Killed(Exception):
    pass


def test_a_network_learns_and_the_best_epoch_on_validation_is_kept(small_data):
    model = network()
    settings = Training(epochs=8, batch=32, lr=0.05, ema=0.9)
    history = fit(model, small_data.train, small_data.validation, settings)
    assert max(e.accuracy for e in history) > 0.9
    assert accuracy(model, small_data.validation) == max(e.accuracy for e in history)


@pytest.mark.parametrize("epoch", [0, 2])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_run_killed_after_any_epoch_ends_with_the_weights_of_an_unbroken_one(small_data, tmp_path, epoch, optimizer):
    settings = SETTINGS.model_copy(update={"optimizer": optimizer, "lr": 0.01})
    whole = network()
    fit(whole, small_data.train, small_data.validation, settings)

    def kill(done):
        if done.number == epoch:
            raise Killed

    with pytest.raises(Killed):
        fit(network(), small_data.train, small_data.validation, settings, resume=tmp_path, on_epoch=kill)
    again, epochs = network(), []
    fit(again, small_data.train, small_data.validation, settings, resume=tmp_path, on_epoch=epochs.append)
    assert [e.number for e in epochs] == list(range(epoch + 1, 4))
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def test_a_run_killed_within_an_epoch_repeats_that_epoch_exactly(small_data, tmp_path):
    whole = network()
    fit(whole, small_data.train, small_data.validation, SETTINGS)

    def kill(done, total):
        if done == total // 2 + 1:
            raise Killed

    with pytest.raises(Killed):
        fit(network(), small_data.train, small_data.validation, SETTINGS, resume=tmp_path, on_batch=kill)
    again = network()
    fit(again, small_data.train, small_data.validation, SETTINGS, resume=tmp_path)
    assert np.array_equal(predict(whole, small_data.test.inputs), predict(again, small_data.test.inputs))


def test_another_seed_gives_another_network(small_data):
    one, two = network(), network()
    fit(one, small_data.train, small_data.validation, SETTINGS)
    fit(two, small_data.train, small_data.validation, SETTINGS.model_copy(update={"seed": 1}))
    assert not np.array_equal(predict(one, small_data.test.inputs), predict(two, small_data.test.inputs))


def test_the_learning_rate_rises_to_its_peak_and_falls_to_zero():
    rates = [one_cycle(step / 100, 0.2) for step in range(101)]
    assert rates[0] == 0 and rates[20] == 1 and rates[100] == pytest.approx(0)
    assert rates[:21] == sorted(rates[:21]) and rates[20:] == sorted(rates[20:], reverse=True)


def test_progress_counts_every_batch_of_all_epochs(small_data):
    seen = []
    fit(network(), small_data.train, small_data.validation, SETTINGS, on_batch=lambda *step: seen.append(step))
    assert seen == [(n, 64) for n in range(1, 65)]
