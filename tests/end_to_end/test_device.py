"""From a finished run to a device and back: bundled, installed, served, updated under load, broken and rolled back.

Everything goes through the command lines and HTTP, as on a device.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from device import Device, Load, until
from maker import Maker, compress, fail_on_white, png

from edge_runtime import Prediction, open_model
from edge_runtime.bundle import contents
from edge_runtime.bundle.signature import load_public

pytestmark = pytest.mark.integration

TRIAL = ("--good", 20, "--window", 1)
"""A version is committed after so many answers and seconds."""


@pytest.fixture(scope="module")
def maker(finished, project: Path, tmp_path_factory: pytest.TempPathFactory) -> Maker:
    folder = tmp_path_factory.mktemp("maker")
    compress("keys", "new", "maker", "-o", folder)
    return Maker(folder, project / "out")


@pytest.fixture(scope="module")
def pictures(small_data) -> list[bytes]:
    """PNG files of test samples. None has a pixel of 255, nor has any sample that a bundle holds."""
    return [png(pixels) for pixels in small_data.test.inputs[:40, 0]]


@pytest.fixture(scope="module")
def committed(maker: Maker, pictures: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a device on which version 1 has been installed, served, and committed."""
    device = Device(tmp_path_factory.mktemp("device") / "home")
    device.run("trust", maker.public)
    assert "on trial" in device.run("install", maker.bundle(1, "quantize"), *TRIAL)
    device.start()
    try:
        with Load(device, pictures, clients=1):
            until(lambda: device.status()["trial"] is None, "end of the trial")
        assert device.stop() == 0
    finally:
        device.kill()
    return device.home


@pytest.fixture
def device(committed: Path, tmp_path: Path) -> Iterator[Device]:
    """A device of its own with that home."""
    shutil.copytree(committed, tmp_path / "home", symlinks=True)
    device = Device(tmp_path / "home")
    yield device
    device.kill()


def expected(bundle: Path, maker: Maker, pictures: list[bytes]) -> list[Prediction]:
    with open_model(bundle, keys=[load_public(maker.public)]) as model:
        return [model.predict(picture) for picture in pictures]


def is_answer(body: dict, prediction: Prediction) -> bool:
    """In company with other samples a model adds its numbers up in another order."""
    return body["label"] == prediction.label and abs(body["confidence"] - prediction.confidence) < 1e-3


def test_a_run_is_bundled_installed_served_and_committed(device: Device, maker: Maker, pictures: list[bytes]):
    facts = device.status()
    assert facts["trial"] is None and facts["current"]["sequence"] == 1
    assert facts["good"]["id"] == facts["current"]["id"]
    device.start()
    for picture, prediction in zip(pictures, expected(maker.bundle(1, "quantize"), maker, pictures), strict=True):
        status, body = device.predict(picture)
        assert (status, body["model_name"], body["model_version"]) == (200, "small", "1")
        assert is_answer(body, prediction)
    assert device.stop() == 0


def test_an_update_under_load_loses_no_answer_and_mixes_none(device: Device, maker: Maker, pictures: list[bytes]):
    bundles = {1: maker.bundle(1, "quantize"), 2: maker.bundle(2, "teacher")}
    right = {str(number): expected(bundle, maker, pictures) for number, bundle in bundles.items()}
    assert right["1"] != right["2"]
    device.start()
    with Load(device, pictures) as load:
        until(lambda: load.seen(1), "answer of version 1")
        device.run("install", bundles[2], *TRIAL)
        until(lambda: load.seen(2), "answer of version 2")
        until(lambda: device.status()["trial"] is None, "end of the trial")
    assert load.errors == [] and {status for _, status, _ in load.answers} == {200}
    wrong = [body for index, _, body in load.answers if not is_answer(body, right[body["model_version"]][index])]
    assert wrong == []
    facts = device.status()
    assert facts["current"]["sequence"] == 2 == facts["good"]["sequence"] and facts["bad"] == {}
    assert device.stop() == 0


def test_a_bundle_with_wrong_golden_outputs_never_becomes_current(device: Device, maker: Maker, pictures: list[bytes]):
    def spoil(files: dict[str, bytes]) -> None:
        stream = io.BytesIO()
        np.save(stream, -np.load(io.BytesIO(files["golden/outputs.npy"])))
        files["golden/outputs.npy"] = stream.getvalue()

    bundle = maker.broken(3, maker.bundle(1, "quantize"), spoil)
    device.start()
    with Load(device, pictures, clients=1) as load:
        refused = device.command("install", bundle, *TRIAL)
    assert refused.returncode == 1 and refused.stderr.startswith("error[self-test-failed]: ")
    assert "golden answers are right" in refused.stderr
    assert {(status, body["model_version"]) for _, status, body in load.answers} == {(200, "1")}
    facts = device.status()
    assert facts["current"]["sequence"] == 1 and facts["trial"] is None and len(facts["bad"]) == 1
    assert device.command("install", bundle, *TRIAL).stderr.startswith("error[version-bad]: ")


def test_a_version_whose_inferences_fail_is_rolled_back_by_the_server(device: Device, maker: Maker, small_data):
    """Its golden outputs are right, so it gets on trial; then it meets real pictures."""
    white = small_data.test.inputs[:10, 0].copy()
    white[:, 0, 0] = 255
    bundle = maker.broken(4, maker.bundle(1, "quantize"), fail_on_white)
    device.start()
    with Load(device, [png(pixels) for pixels in white]) as load:
        until(lambda: load.seen(1), "answer of version 1")
        assert "on trial" in device.run("install", bundle, *TRIAL)
        until(lambda: any(status != 200 for _, status, _ in load.answers), "failure of version 4")
        until(lambda: device.status()["bad"], "roll-back")
        before = len(load.answers)
        until(lambda: len(load.answers) > before + 60 and load.seen(1), "answer of version 1 again")
    facts = device.status()
    assert facts["current"]["sequence"] == 1 and facts["trial"] is None
    (reason,) = facts["bad"].values()
    assert "inferences failed" in reason
    assert load.errors == []
    assert {body["code"] for _, status, body in load.answers if status != 200} == {"session-failed"}
    assert [event for event in device.run("history").splitlines() if "rolled-back" in event]
    assert device.stop() == 0


def test_a_version_that_takes_the_server_down_is_left_behind(device: Device, maker: Maker, pictures: list[bytes]):
    """As if it were ended by the system at every start; whoever restarts it, as systemd does, need not know why."""
    device.run("install", maker.bundle(2, "teacher"), *TRIAL, "--attempts", 2)
    for _ in range(2):
        device.start()
        assert device.predict(pictures[0])[1]["model_version"] == "2"
        device.kill()
    device.start()
    assert device.predict(pictures[0])[1]["model_version"] == "1"
    facts = device.status()
    assert facts["current"]["sequence"] == 1 and facts["trial"] is None
    (reason,) = facts["bad"].values()
    assert "attempts" in reason
    assert contents.load(device.home / "current").id == facts["current"]["id"]
    assert device.stop() == 0
