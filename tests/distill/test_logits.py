from __future__ import annotations

import numpy as np
import pytest
import torch

from compress.data.dataset import Split
from compress.distill.logits import distill
from compress.models.convnet import convnet
from compress.models.normalize import Normalized
from compress.recipe import Augment, Distill, Training
from compress.training import fit, predict


def network(seed: int, widths=(8, 16)) -> torch.nn.Module:
    torch.manual_seed(seed)
    return Normalized(convnet(classes=4, channels=1, widths=widths), [0.4], [0.25])


@pytest.fixture(scope="module")
def teacher(small_data):
    model = network(0, (16, 32))
    fit(model, small_data.train, small_data.validation, Training(epochs=3, batch=32, lr=0.05))
    return model


def test_a_student_learns_its_teachers_answers_and_not_the_labels(teacher, small_data):
    """The labels given to the student are all wrong; with all the weight on the teacher it does not matter."""
    wrong = Split(small_data.train.inputs, (small_data.train.labels + 1) % 4)
    student = network(1)
    settings = Distill(weight=1, training=Training(epochs=5, batch=32, lr=0.05))
    distill(student, teacher, wrong, small_data.validation, settings)
    same = predict(student, small_data.test.inputs).argmax(1) == predict(teacher, small_data.test.inputs).argmax(1)
    assert same.mean() > 0.8


def test_with_no_weight_on_the_teacher_it_is_plain_training(teacher, small_data):
    training = Training(epochs=1, batch=32, lr=0.05)
    plain, student = network(1), network(1)
    fit(plain, small_data.train, small_data.validation, training)
    distill(student, teacher, small_data.train, small_data.validation, Distill(weight=0, training=training))
    assert np.allclose(predict(plain, small_data.test.inputs), predict(student, small_data.test.inputs), atol=1e-5)


@pytest.mark.parametrize(("views", "passes"), [(2, 2), (None, 4)])
def test_the_teacher_runs_once_for_each_view(teacher, small_data, tmp_path, views, passes):
    seen = []
    hook = teacher.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    training = Training(epochs=4, batch=32, views=views, augment=Augment(shift=1))
    distill(network(1), teacher, small_data.train, small_data.validation, Distill(training=training), resume=tmp_path)
    hook.remove()
    assert sum(seen) == passes * len(small_data.train)


def test_a_killed_distillation_does_not_ask_the_teacher_again(teacher, small_data, tmp_path):
    settings = Distill(training=Training(epochs=3, batch=32, views=1))

    def kill(epoch):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distill(network(1), teacher, small_data.train, small_data.validation, settings, resume=tmp_path, on_epoch=kill)
    seen = []
    hook = teacher.register_forward_hook(lambda *call: seen.append(call))
    again, whole = network(1), network(1)
    distill(again, teacher, small_data.train, small_data.validation, settings, resume=tmp_path)
    hook.remove()
    assert not seen
    distill(whole, teacher, small_data.train, small_data.validation, settings)
    assert np.array_equal(predict(again, small_data.test.inputs), predict(whole, small_data.test.inputs))
