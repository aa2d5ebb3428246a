"""The story of a device on a whole emulated arm64 computer: wheels, systemd's unit, updates, and the plug pulled.

What runs is real: aarch64 code, systemd, its sandbox and watchdog, a journalling file system. The times are an
emulator's and compared with nothing. Slow: some minutes to install once, some minutes each time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import appliance
import arm64
import numpy as np
import pytest
from device import Load, until
from maker import Maker, fail_on_white, png
from maker import compress as compress_command
from served import PATIENCE, Served, booted, shown
from small_recipe import RECIPE, write_data
from software import ENVIRONMENT, installed

import compress
from edge_runtime import open_session
from edge_runtime.bundle import archive
from edge_runtime.bundle.signature import load_public

pytestmark = [pytest.mark.integration, pytest.mark.slow]
TRIAL = ("--good", 20, "--window", 1)
UNIT = "/etc/systemd/system/edge-runtime.service"
SIZES = f"""cd {ENVIRONMENT}/lib/python3.11/site-packages
du -sk {ENVIRONMENT}; du -sk onnxruntime numpy numpy.libs edge_runtime uvloop PIL pillow.libs nacl
"""


@pytest.fixture(scope="module")
def image() -> Path:
    if tools := appliance.lacking():
        pytest.skip(f"needs {', '.join(tools)}")
    appliance.build(arm64.folder() / "appliance")
    return arm64.folder() / "appliance"


@pytest.fixture(scope="module")
def maker(small_data, tmp_path_factory: pytest.TempPathFactory) -> Maker:
    """A run for the board, made here, and a key."""
    folder = tmp_path_factory.mktemp("maker")
    write_data(folder / "data.npz", small_data)
    (folder / "small.yaml").write_text(RECIPE.replace("[this-machine, raspberry-pi-5]", "[raspberry-pi-5]"))
    compress.run(folder / "small.yaml", store=folder / "store", out=folder / "out", threads=1)
    compress_command("keys", "new", "maker", "-o", folder)
    return Maker(folder, folder / "out", "raspberry-pi-5")


@pytest.fixture(scope="module")
def committed(image: Path, maker: Maker, small_data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The disk of a device that was set up as the unit's own words say, and that serves version 1."""
    disk = appliance.overlay(installed(image), tmp_path_factory.mktemp("disks") / "committed.qcow2")
    with booted(image, disk) as device, shown(device):
        device.login.run("useradd --system --user-group --home-dir /var/lib/edge-runtime edge-runtime")
        device.login.run(f"edge-runtime serve --print-unit > {UNIT}")
        said = device.login.command(f"systemd-analyze verify --man=no {UNIT}")
        assert (said.returncode, said.stdout, said.stderr) == (0, "", "")
        device.login.run("systemctl daemon-reload && systemctl enable --no-block --now edge-runtime")
        until(lambda: device.login.command(f"test -d {device.home}").returncode == 0, "home", seconds=PATIENCE)
        device.run("trust", device.send(maker.public))
        assert "on trial" in device.run("install", device.send(maker.bundle(1, "quantize")), *TRIAL)
        device.await_ready()
        with Load(device, pictures(small_data), clients=1):
            until(lambda: device.status()["trial"] is None, "end of the trial", seconds=PATIENCE)
        device.login.run("systemctl stop edge-runtime && sync")
    return disk


@pytest.fixture
def disk(committed: Path, tmp_path: Path) -> Path:
    return appliance.overlay(committed, tmp_path / "disk.qcow2")


@pytest.fixture
def device(image: Path, disk: Path) -> Iterator[Served]:
    with booted(image, disk) as device, shown(device):
        device.await_ready()
        yield device


def pictures(small_data) -> list[bytes]:
    return [png(pixels) for pixels in small_data.test.inputs[:40, 0]]


@dataclass(frozen=True)
class Here:
    """What a bundle's model answers on this machine: by its kernels, and with its integers simulated in floats."""

    logits: np.ndarray
    simulated: np.ndarray
    tolerance: float

    @classmethod
    def of(cls, bundle: Path, maker: Maker, inputs: np.ndarray, folder: Path) -> Here:
        folder.mkdir()
        found = archive.unpack(bundle, folder, [load_public(maker.public)])
        path, runtime = found.file(found.manifest.model), found.manifest.runtime
        with open_session(path, runtime) as session, open_session(path, runtime, optimize=False) as simulation:
            return cls(session.predict(inputs), simulation.predict(inputs), found.manifest.golden["absolute"])


def logits_there(device: Served, inputs: np.ndarray) -> np.ndarray:
    tensor = {"name": "input", "shape": inputs.shape, "datatype": "UINT8", "data": inputs.ravel().tolist()}
    status, body = device.ask("POST", "/v2/models/small/infer", json.dumps({"inputs": [tensor]}).encode())
    assert status == 200, body
    (output,) = body["outputs"]
    return np.array(output["data"], np.float32).reshape(output["shape"])


def test_the_hardened_unit_serves_what_was_measured_here(device: Served, maker: Maker, small_data, tmp_path, capsys):
    inputs = small_data.test.inputs[:40]
    here = Here.of(maker.bundle(1, "quantize"), maker, inputs, tmp_path / "unpacked")
    there = logits_there(device, inputs)
    off, simulated = np.abs(there - here.logits).max(), np.abs(there - here.simulated).max()
    assert off <= here.tolerance
    assert simulated <= 0.025 * np.abs(here.simulated).max()  # x86 without VNNI saturates; aarch64 does not
    assert (there.argmax(1) == here.logits.argmax(1)).all()
    for picture, row in zip(pictures(small_data), here.logits, strict=True):
        status, body = device.predict(picture)
        assert (status, body["model_version"], body["label"]) == (200, "1", small_data.classes[row.argmax()])
    facts = device.unit("ActiveState", "Type", "WatchdogUSec", "NRestarts")
    assert facts == {"ActiveState": "active", "Type": "notify", "WatchdogUSec": "30s", "NRestarts": "0"}
    with capsys.disabled():
        print(f"\nlogits differ by {off:.2g} (allowed {here.tolerance:.2g}), from a simulation by {simulated:.2g}")
        print(f"resident: {device.resident() / 1e6:.1f} MB\nkB on the disk:\n{device.login.run(SIZES)}")


def test_a_server_that_hangs_is_ended_by_the_watchdog_and_serves_again(device: Served, small_data):
    time.sleep(35)  # longer than the watchdog waits: it has been fed
    before = device.unit("NRestarts", "MainPID")
    assert before["NRestarts"] == "0"
    device.login.run(f"kill -STOP {before['MainPID']}")
    until(lambda: device.unit("NRestarts")["NRestarts"] == "1", "restart", seconds=PATIENCE)
    assert "Watchdog timeout" in device.log()
    device.await_ready()
    assert device.predict(pictures(small_data)[0])[1]["model_version"] == "1"


def test_a_broken_update_a_sound_one_and_the_way_back_by_hand(device: Served, maker: Maker, small_data):
    white = small_data.test.inputs[:10, 0].copy()
    white[:, 0, 0] = 255
    broken = maker.broken(3, maker.bundle(1, "quantize"), fail_on_white)
    with Load(device, [png(pixels) for pixels in white], clients=2) as load:
        assert "on trial" in device.run("install", device.send(broken), *TRIAL)
        until(lambda: device.status()["bad"], "way back", seconds=PATIENCE)
        failed = len(load.answers)
        until(lambda: len(load.answers) > failed + 60 and load.seen(1), "answer of version 1", seconds=PATIENCE)
    assert load.errors == []
    facts = device.status()
    assert facts["current"]["sequence"] == 1 and facts["trial"] is None
    assert "inferences failed" in next(iter(facts["bad"].values()))

    with Load(device, pictures(small_data), clients=2) as load:
        until(lambda: load.seen(1), "answer of version 1", seconds=PATIENCE)
        assert "on trial" in device.run("install", device.send(maker.bundle(2, "teacher")), *TRIAL)
        until(lambda: load.seen(2), "answer of version 2", seconds=PATIENCE)
        until(lambda: device.status()["trial"] is None, "end of the trial", seconds=PATIENCE)
    assert load.errors == [] and {status for _, status, _ in load.answers} == {200}
    assert {body["model_version"] for _, _, body in load.answers} == {"1", "2"}
    assert device.status()["good"]["sequence"] == 2

    device.run("rollback", "--reason", "by hand")
    until(lambda: device.predict(pictures(small_data)[0])[1].get("model_version") == "1", "version 1", seconds=PATIENCE)
    facts = device.status()
    assert facts["current"]["sequence"] == 1 and len(facts["bad"]) == 2
    history = device.run("history")
    assert "rolled-back" in history and "by hand" in history
    device.run("gc")
    assert device.login.run(f"ls {device.home}/versions").split() == [facts["current"]["id"]]
    assert device.unit("NRestarts")["NRestarts"] == "0"


MOMENTS = {
    "stage": '[ -n "$(ls staging)" ]',
    "self-test": "[ $(ls versions | wc -l) -gt 1 ]",
    "switch": """[[ "$(<state.json)" == *'"trial": {'* ]]""",
}
"""What holds in the home once an install has come so far."""


def test_the_plug_is_pulled_in_the_middle_of_installs(image: Path, disk: Path, maker: Maker, small_data):
    bundle = maker.bundle(2, "teacher")
    served = []
    for moment in (*MOMENTS, "done"):
        with booted(image, disk) as device, shown(device):
            device.await_ready()
            there = device.send(bundle)
            device.login.run("sync")
            if moment == "done":
                done = device.command("install", there, *TRIAL)
                assert done.returncode == 0, done.stderr
            else:
                assert device.status()["current"]["sequence"] == 1
                device.login.run(
                    f"cd {device.home}; ({device.words('install', there, *TRIAL)}) >/dev/null 2>&1 & "
                    f"until {MOMENTS[moment]}; do :; done"
                )
        with booted(image, disk) as device, shown(device):
            device.await_ready()
            status, body = device.predict(pictures(small_data)[0])
            facts = device.status()
            assert status == 200 and body["model_version"] == str(facts["current"]["sequence"])
            served.append(facts["current"]["sequence"])
    assert served[:2] == [1, 1] and served[2] in (1, 2) and served[3] == 2
