from __future__ import annotations

from dataclasses import asdict

import pytest

from compress.bench.devices.ending import judge, mismatch
from compress.errors import DeviceError, KilledError
from compress.targets.target import load_target
from edge_runtime.machine import detect


def ended(status: int, *, memory: bool = False, log: str = "") -> dict:
    return {"is": "ended", "status": status, "memory": memory, "log": log}


def test_an_end_like_it_should_be():
    judge(ended(0, memory=True), "ssh://pi")


@pytest.mark.parametrize(
    ("work", "kind", "words"),
    [
        (ended(-9, memory=True), KilledError, "want of memory.*smaller batches"),
        (ended(-9), KilledError, "ended by SIGKILL"),
        (ended(130, log="interrupted"), KilledError, "asked to end"),
        ({"is": "gone", "log": ""}, KilledError, "without a word.*enable-linger"),
        (ended(-11, log="Fatal"), DeviceError, r"crashed \(SIGSEGV\): Fatal"),
        (ended(1, log="first\nerror[x]: \x1b[2Jno such model"), DeviceError, r"status 1: error\[x\]: \\x1b\[2Jno such"),
    ],
)
def test_an_end_that_it_should_not_have_had(work: dict, kind: type[DeviceError], words: str):
    with pytest.raises(kind, match=words) as caught:
        judge(work, "ssh://pi")
    assert "ssh://pi" in str(caught.value)


def test_whether_a_machine_is_its_target():
    begin = {"machine": asdict(detect())}
    assert mismatch(load_target("this-machine"), begin) is None
    assert "not Raspberry Pi 5" in mismatch(load_target("raspberry-pi-5"), begin)
    assert "does not say" in mismatch(load_target("this-machine"), {"machine": {"arch": "aarch64"}})
