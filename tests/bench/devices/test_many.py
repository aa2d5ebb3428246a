from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from compress.bench.devices.choose import device_of
from compress.bench.devices.local import Local
from compress.bench.devices.many import run_all
from compress.bench.devices.ssh import Ssh
from compress.errors import DeviceError, TargetError, UnreachableError
from compress.targets.target import load_target


@pytest.mark.integration
def test_several_devices_at_once_and_one_that_is_off(ssh, board, plan, files, tmp_path: Path):
    folders = [{"folder": str(tmp_path / name)} for name in ("a", "b")]
    devices = [ssh("a", ticks=20, pause=0.05, **folders[0]), ssh("b", ticks=20, pause=0.05, **folders[1])]
    off = Ssh("off", "ssh://127.0.0.1:1")
    both = threading.Barrier(2, timeout=30)
    seen: dict[str, int] = {}

    def on_event(device: Ssh, event: dict) -> None:
        if event["event"] == "tick":
            seen[device.name] = event["number"]
            if event["number"] == 5:
                both.wait()  # each waits for the other: they run at the same time

    found = run_all([*devices, off], plan, files, on_event, folder=tmp_path / "home")
    assert list(found) == ["a", "b", "off"] and found["a"] is found["b"] is None
    assert isinstance(found["off"], UnreachableError)
    assert seen == {"a": 19, "b": 19}
    for name in ("a", "b"):
        events = (tmp_path / "home" / name / "events.jsonl").read_text().splitlines()
        assert json.loads(events[-1])["complete"] is True


@pytest.mark.integration
def test_ctrl_c_ends_all_of_them(ssh, board, plan, files, tmp_path: Path):
    class Impatient(Local):
        """Ctrl-C reaches the thread that called, where this machine is measured."""

        def run(self, *_: object, **__: object) -> None:
            assert ticked.wait(30)
            raise KeyboardInterrupt

    ticked = threading.Event()
    device = ssh("far", ticks=1000, pause=0.05)
    with pytest.raises(KeyboardInterrupt):
        run_all(
            [device, Impatient("here")], plan, files,
            lambda _, event: ticked.set() if event["event"] == "tick" else None, folder=tmp_path,
        )  # fmt: skip
    assert json.loads((tmp_path / "far" / "events.jsonl").read_text().splitlines()[-1])["complete"] is False
    assert not board.work() and not board.pids()


def test_two_devices_of_one_name_are_refused(plan, files, tmp_path: Path):
    with pytest.raises(DeviceError, match="name of its own"):
        run_all([Ssh("a", "ssh://x"), Ssh("a", "ssh://y")], plan, files, lambda *_: None, folder=tmp_path)


def test_the_device_that_a_target_means():
    here, other = load_target("this-machine"), load_target("raspberry-pi-5")
    assert isinstance(device_of(here), Local)
    assert isinstance(device_of(here, "ssh://pi@10.0.0.2:2200"), Ssh)
    assert isinstance(device_of(other.model_copy(update={"connect": "ssh://pi"})), Ssh)
    with pytest.raises(DeviceError, match=r"Raspberry Pi 5 cannot be measured here.*--connect ssh://"):
        device_of(other)
    with pytest.raises(TargetError, match="no address"):
        device_of(other, "pi@10.0.0.2")
