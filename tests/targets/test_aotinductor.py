"""AOTInductor packages, compiled for the CPU: from a network to a file, and from the file to answers."""

from __future__ import annotations

import shutil
import threading
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from compress.errors import ExportError
from compress.models.normalize import Normalized
from compress.models.package_session import AotInductorGraphSession, AotInductorSession
from compress.models.resnet import resnet
from compress.targets import aotinductor
from edge_runtime import InputError, ModelFileError, SessionError

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 1, 8, 8), np.uint8)


def network() -> nn.Module:
    torch.manual_seed(0)
    small = resnet(classes=3, channels=1, stem=4, widths=(4,), blocks=(1,))
    for module in small.modules():
        if isinstance(module, nn.BatchNorm2d):  # fresh blocks end in a factor of zero, and nothing of them would show
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return Normalized(small, [0.3], [0.4]).eval()


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    """One package in bf16: compiling takes a dozen seconds of CPU."""
    path = tmp_path_factory.mktemp("package") / "model.pt2"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    aotinductor.export(network(), PIXELS[:1], path, precision="bf16", device="cpu")
    torch.set_num_threads(threads)
    return path


@pytest.mark.integration
@pytest.mark.slow
def test_a_package_takes_raw_values_of_any_batch_and_answers_in_float(half):
    expected = network()
    with AotInductorSession(half, 1) as session:
        assert session.inputs[0].shape == ("batch", 1, 8, 8)
        for count in (1, 2, 5):
            inputs = PIXELS[:count][:, :, ::-1]  # not contiguous
            found = session.predict(inputs)
            with torch.inference_mode():
                answer = expected(torch.from_numpy(inputs.copy())).numpy()
            assert (found.dtype, found.shape) == (np.float32, (count, 3))
            np.testing.assert_allclose(found, answer, atol=0.05)
            assert np.abs(found - answer).max() > 0  # bf16 was computed in
            np.testing.assert_array_equal(session.run({"input": inputs})["logits"], found)


@pytest.mark.integration
@pytest.mark.slow
def test_the_number_of_threads_is_not_compiled_in(half):
    """It was compiled with one, of which the code would make no loop for several."""
    with zipfile.ZipFile(half) as archive:
        code = "".join(archive.read(name).decode() for name in archive.namelist() if name.endswith(".cpp"))
    assert "#pragma omp parallel" in code and "num_threads(" not in code


@pytest.mark.integration
@pytest.mark.slow
def test_arrays_that_it_would_misread_are_refused_in_words(half):
    with AotInductorSession(half, 1) as session:
        for wrong in (PIXELS.astype(np.float32), PIXELS[:, :, :4], PIXELS[0]):
            with pytest.raises(InputError, match=r"input 'input': uint8 of shape \(batch, 1, 8, 8\), got"):
                session.predict(wrong)
        first, second = session.predict(PIXELS[:1]), session.predict(PIXELS[1:2])
        assert np.abs(first - second).max() > 0  # the first answer is the caller's to keep
    with pytest.raises(SessionError, match="closed"):
        session.predict(PIXELS)


@pytest.mark.integration
@pytest.mark.slow
def test_threads_wait_for_each_other(half):
    with AotInductorSession(half, 1) as session:
        expected = [session.predict(PIXELS[i : i + 1]) for i in range(5)]
        wrong = []

        def work(index: int) -> None:
            for _ in range(50):
                if not np.array_equal(session.predict(PIXELS[index : index + 1]), expected[index]):
                    wrong.append(index)

        threads = [threading.Thread(target=work, args=(index,)) for index in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


@pytest.mark.integration
@pytest.mark.slow
def test_a_graph_of_a_package_for_the_cpu_is_refused(half):
    with pytest.raises(ModelFileError, match="compiled for the CPU, which has no CUDA graphs"):
        AotInductorGraphSession(half, 1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_nothing_is_compiled_for_one(tmp_path):
    with pytest.raises(ExportError, match="is compiled on it, and PyTorch finds none here"):
        aotinductor.export(network(), PIXELS, tmp_path / "model.pt2")
    assert list(tmp_path.iterdir()) == []


def test_without_a_compiler_it_says_which(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ExportError, match=r"no compiler here: apt-get install g\+\+"):
        aotinductor.export(network(), PIXELS, tmp_path / "model.pt2", device="cpu")


@pytest.mark.integration
def test_a_network_that_cannot_be_traced_is_named(tmp_path):
    class Deciding(nn.Module):
        def forward(self, x):
            x = x.float().flatten(1)
            return x[:, :2] if x.sum() > 0 else x[:, 2:4]

    with pytest.raises(ExportError, match="Deciding cannot be compiled by AOTInductor"):
        aotinductor.export(Deciding(), PIXELS, tmp_path / "model.pt2", precision="fp32", device="cpu")
    assert list(tmp_path.iterdir()) == []
